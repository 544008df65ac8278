"""what a model is: labels, sizes, licence, cleaning, training, encoders, calibration"""

import argparse
import json
from typing import Any

from speech_emotion.predict.loading import DEFAULT_MODEL, load_classifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument("model", nargs="?", default=str(DEFAULT_MODEL), help="folder or Hub id")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(options: argparse.Namespace) -> int:
    """Load the model, which refuses a damaged one, and print what it says of itself.

    Returns:
        0.
    """
    facts = describe(load_classifier(options.model, transcriber="none").model)
    if options.format == "json":
        print(json.dumps(facts, indent=2))
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:<{width}}  {_in_words(value)}")
    return 0


def describe(model: Any) -> dict[str, Any]:
    """Facts about a loaded model, as plain JSON values."""
    from speech_emotion.training.model_card import licence_of, licences_of

    config, training = model.config, model.config.training or {}
    facts: dict[str, Any] = {
        "labels": [config.id2label[index] for index in sorted(config.id2label)],
        "parameters": sum(weight.numel() for weight in model.state_dict().values()),
        "speech encoder": _encoder(config.audio_config, model.audio_model),
        "text encoder": "none"
        if not config.use_text
        else _encoder(config.text_config, model.text_model),
        "pooling": config.audio_pooling,
        "window": f"{config.window_s:g} s",
        "cleaning": config.cleaning,
        "temperature": config.temperature,
        "calibrated": config.temperature != 1 or "temperature" in training,
        "adapted": config.logit_bias is not None,
        "transcriber": config.transcriber,
        "licence": licence_of(config),
        "learnt from": licences_of(training) or "nothing yet",
        "protocol": training.get("protocol", "none"),
        "speakers": len(training.get("speakers") or []),
        "commit": training.get("commit", "unknown"),
    }
    return facts


def _encoder(config: Any, encoder: Any) -> dict[str, Any]:
    return {
        "type": config.model_type,
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "parameters": sum(weight.numel() for weight in encoder.state_dict().values()),
    }


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)

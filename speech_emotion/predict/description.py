"""What a loaded model is, as plain values, and the licence of its weights."""

from typing import Any

NON_COMMERCIAL = "cc-by-nc-sa-4.0"
"""Licence of weights trained on RAVDESS or TESS, whose terms forbid commercial use."""


def licences_of(training: dict[str, Any]) -> dict[str, str]:
    """Return name and licence of all data that the weights were trained on, in every stage.

    Args:
        training: the training record.
    """
    licences = training.get("licences") or {}
    found = {name: licences.get(name, "see the corpus") for name in training.get("data") or []}
    for stage in training.get("stages") or []:
        for name, licence in stage["licences"].items():
            if name.lower() not in found:
                found[name] = f"{licence} ({stage['stage']})"
    return found


def licence_of(config: Any) -> str:
    """Return the licence of a model's weights, which follows from their training data."""
    licences = licences_of(config.training or {})
    if not licences:
        return "apache-2.0"
    if any("-nc" in licence.lower() for licence in licences.values()):
        return NON_COMMERCIAL
    return "other"


def describe(model: Any) -> dict[str, Any]:
    """Return facts about a loaded model, as JSON values."""
    config, training = model.config, model.config.training or {}
    text = "none" if not config.use_text else _encoder(config.text_config, model.text_model)
    return {
        "labels": [config.id2label[index] for index in sorted(config.id2label)],
        "parameters": sum(weight.numel() for weight in model.state_dict().values()),
        "speech encoder": _encoder(config.audio_config, model.audio_model),
        "text encoder": text,
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


def as_table(facts: dict[str, Any]) -> str:
    """Return the facts as text, a line each."""
    width = max(map(len, facts))
    return "".join(f"{name:<{width}}  {_in_words(value)}\n" for name, value in facts.items())


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

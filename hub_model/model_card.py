"""The model card that travels with a checkpoint, written from its config."""

import os
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

RESULTS_BEGIN, RESULTS_END = "<!-- results:ravdess -->", "<!-- /results:ravdess -->"
"""Between these markers the project's report generator writes the measured tables."""

NON_COMMERCIAL = "cc-by-nc-sa-4.0"
"""Licence of weights that learnt from RAVDESS or TESS, whose terms forbid commercial use."""


def write_model_card(config: Any, folder: str | os.PathLike) -> Path:
    """Write ``README.md`` into a checkpoint folder.

    The card of the folder from which the model was loaded is kept, with its results; a new one is
    written from the config otherwise.

    Args:
        config: a ``HubertBertConfig``.
        folder: the checkpoint folder; it must exist.
    """
    path = Path(folder) / "README.md"
    earlier = Path(config.name_or_path or "") / "README.md"
    if config.name_or_path and earlier.is_file():
        content = earlier.read_text(encoding="utf-8")
    else:
        content = str(ModelCard(_content(config)))
    path.write_text(content, encoding="utf-8")
    return path


def _licences(training: dict[str, Any]) -> dict[str, str]:
    """Name and licence of everything that the weights learnt from, in every stage."""
    licences = training.get("licences") or {}
    found = {name: licences.get(name, "see the corpus") for name in training.get("data") or []}
    for stage in training.get("stages") or []:
        for name, licence in stage["licences"].items():
            if name.lower() not in found:
                found[name] = f"{licence} ({stage['stage']})"
    return found


def _licence(licences: dict[str, str]) -> str:
    """Licence of the weights: what they learnt from decides."""
    if not licences:
        return "apache-2.0"
    return (
        NON_COMMERCIAL
        if any("-nc" in licence.lower() for licence in licences.values())
        else "other"
    )


def _content(config: Any) -> str:
    training = config.training or {}
    licences = _licences(training)
    data = ModelCardData(
        language="en",
        license=_licence(licences),
        library_name="transformers",
        pipeline_tag="audio-classification",
        tags=["speech-emotion-recognition", "hubert", "bert", "multimodal", "custom_code"],
        metrics=["accuracy", "recall"],
    )
    labels = ", ".join(config.id2label[i] for i in sorted(config.id2label))
    cleaning = ", ".join(f"{name} {value}" for name, value in config.cleaning.items())
    trained_on = [f"- {name}: {licence}" for name, licence in licences.items()]
    if not trained_on:
        trained_on = ["- nothing yet: the weights are as they were initialised"]
    audio, text = config.audio_config, config.text_config
    return f"""---
{data.to_yaml()}
---

# Emotion from speech and transcript

A `HubertBertForEmotion`: the last hidden states of a speech encoder (`{audio.model_type}`,
{audio.num_hidden_layers} layers of {audio.hidden_size}) and of a text encoder
(`{text.model_type}`, {text.num_hidden_layers} layers of {text.hidden_size}), averaged over time,
concatenated, and classified by one linear layer, after "Speech and Text-Based Emotion
Recognizer", section III-D.2.

Labels: {labels}.

## Use

```python
from transformers import pipeline

recogniser = pipeline("audio-classification", model="this/model", trust_remote_code=True)
recogniser("clip.wav")                         # seven labels with probabilities, sorted
recogniser("clip.wav", text="what was said")   # a known transcript wins over the recogniser
recogniser("clip.wav", return_transcript=True)
```

It needs `soundfile soxr noisereduce` beside transformers and torch. Clips are cleaned as
in training: {cleaning}. Transcripts come from `{config.transcriber}`; when it cannot be reached
the answer comes from the audio alone.

## Training data and licences

{os.linesep.join(trained_on)}

Split: {training.get("protocol", "none")}. The speakers seen in training, the data fingerprint,
the seed, the commit and the library versions are under `training` in `config.json`.
Weights that learnt from non-commercial corpora inherit that limit: use them for research only.

## Results

{RESULTS_BEGIN}
Not measured yet.
{RESULTS_END}

## Limits and intended use

Acted emotions of a few speakers of North American English: expect less on spontaneous speech,
other accents, other languages, noise and telephone lines. A score is a guess about how a voice
sounds, not about what a person feels. Do not use it to judge individuals; some laws forbid
inferring emotions at work and in education.
"""

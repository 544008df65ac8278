"""Label Studio: a task with a pre-annotation (a prediction) for import."""

import json
from typing import Any

from speech_emotion import __version__
from speech_emotion.predict.writers.base import Result, readable
from speech_emotion.predict.writers.tiers import length_of, spoken

AUDIO, EMOTION = "audio", "emotion"
"""Names in the labelling configuration of the project: those of ``<Audio>`` and ``<Labels>``.
Its two ``<TextArea perRegion="true">`` are called ``transcript`` and ``speaker``."""


def as_labelstudio(file: str, result: Result) -> str:
    """Return a JSON list with the task of one recording; a region for each segment with speech."""
    regions: list[dict[str, Any]] = []
    for number, part in enumerate(spoken(result), start=1):
        place = {"start": part["start"], "end": part["end"], "channel": 0}
        same = {
            "id": f"segment{number}",
            "to_name": AUDIO,
            "origin": "prediction",
            "original_length": length_of(result),
        }
        labels = {**place, "labels": [part["label"]]}
        regions.append(
            same | {"from_name": EMOTION, "type": "labels", "value": labels, "score": part["score"]}
        )
        for name in ("transcript", "speaker"):
            if part.get(name):
                text = {**place, "text": [part[name]]}
                regions.append(same | {"from_name": name, "type": "textarea", "value": text})
    prediction: dict[str, Any] = {"model_version": f"speech-emotion {__version__}"}
    if result.get("emotions"):
        prediction["score"] = result["emotions"][0]["score"]
    task = {"data": {AUDIO: readable(file)}, "predictions": [prediction | {"result": regions}]}
    return json.dumps([task], ensure_ascii=False, indent=1) + "\n"

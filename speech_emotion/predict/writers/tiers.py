"""Segments by speaker, as annotation programs hold them."""

from typing import Any

from hub_model.timeline import NO_SPEECH
from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import UNSURE

ONE_TIER = "emotion"
"""Name of the tier of a recording whose speakers are not known."""


def spoken(result: Result) -> list[dict[str, Any]]:
    """The segments with speech; ``label`` is :data:`UNSURE` where there is no decision."""
    segments = [part for part in result["segments"] if part["label"] != NO_SPEECH]
    return [{**part, "label": part["label"] or UNSURE} for part in segments]


def tiers_of(result: Result) -> dict[str, list[dict[str, Any]]]:
    """The segments with speech, by the name of their tier: the speaker.

    In a tier they are in order and do not overlap. One that overlaps another of its speaker goes
    into a second tier, such as ``agent 2``.
    """
    tiers: dict[str, list[dict[str, Any]]] = {}
    for part in sorted(spoken(result), key=lambda part: (part["start"], part["end"])):
        speaker, number = part.get("speaker") or ONE_TIER, 1
        name = speaker
        while tiers.get(name) and tiers[name][-1]["end"] > part["start"]:
            number += 1
            name = f"{speaker} {number}"
        tiers.setdefault(name, []).append(part)
    return tiers


def length_of(result: Result) -> float:
    """Seconds of the recording; at least the end of its last segment."""
    return max([result.get("seconds") or 0.0, *(part["end"] for part in result["segments"])])

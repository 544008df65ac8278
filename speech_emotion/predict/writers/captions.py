"""Segments as captions: what subtitles, label tracks and charts have in common."""

from collections.abc import Callable
from typing import Any

from webvtt import Caption

from hub_model.results import UNSURE
from hub_model.timeline import NO_SPEECH
from speech_emotion.predict.writers.base import Result

__all__ = ["UNSURE", "caption_of", "clock", "subtitles_of"]


def caption_of(segment: dict[str, Any]) -> str:
    """Return label and score, such as ``happy 51%``, after the speaker if there is one."""
    who = f"{segment['speaker']}: " if segment.get("speaker") else ""
    if segment["score"] is None:
        return who + segment["label"]
    return f"{who}{segment['label'] or UNSURE} {segment['score']:.0%}"


def clock(seconds: float) -> str:
    """Return a time as ``hh:mm:ss.ttt``.

    >>> clock(3661.9996)
    '01:01:02.000'
    """
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def subtitles_of(result: Result, escape: Callable[[str], str]) -> list[Caption]:
    """Return a caption for each segment with speech: label and score, then the transcript.

    Args:
        result: of a recording, with segments.
        escape: makes a text safe for the format.
    """
    captions = []
    for segment in result["segments"]:
        if segment["label"] != NO_SPEECH:
            lines = [caption_of(segment), *filter(None, [segment["transcript"]])]
            times = clock(segment["start"]), clock(segment["end"])
            captions.append(Caption(*times, escape("\n".join(lines))))
    return captions

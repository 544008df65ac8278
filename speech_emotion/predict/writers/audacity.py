"""Audacity: a label track, with start, end and label between tabs."""

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import caption_of


def as_audacity(result: Result) -> str:
    """Return the label track of one recording."""
    return "".join(
        f"{segment['start']:.3f}\t{segment['end']:.3f}\t{caption_of(segment)}\n"
        for segment in result["segments"]
    )

"""SRT (SubRip): subtitles for players; segments without speech have none."""

import io

from webvtt import WebVTT

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import subtitles_of

LESS_THAN = "\ue000"
"""Stands for ``<`` while the library writes: it takes ``<...>`` for markup and drops it."""


def as_srt(result: Result) -> str:
    """Return the subtitles of one recording."""
    text = io.StringIO()
    captions = subtitles_of(result, _escaped)
    WebVTT(captions=captions).write(text, format="srt")
    return text.getvalue().replace(LESS_THAN, "<") + "\n" if captions else ""


def _escaped(text: str) -> str:
    # Readers take an arrow for a line of times.
    return text.replace("-->", "->").replace("<", LESS_THAN)

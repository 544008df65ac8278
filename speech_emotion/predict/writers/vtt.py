"""WebVTT: subtitles for browsers; segments without speech have none."""

import html

from webvtt import WebVTT

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import subtitles_of


def as_vtt(result: Result) -> str:
    """Return the subtitles of one recording; ``&``, ``<`` and ``>`` are escaped."""
    captions = subtitles_of(result, lambda text: html.escape(text, quote=False))
    return WebVTT(captions=captions).content

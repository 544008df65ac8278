"""SRT (SubRip): subtitles for players; segments without speech have none."""

import io

from webvtt import WebVTT

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import subtitles_of


def as_srt(result: Result) -> str:
    """Return the subtitles of one recording."""
    text = io.StringIO()
    # Readers take an arrow for a line of times.
    captions = subtitles_of(result, lambda text: text.replace("-->", "->"))
    WebVTT(captions=captions).write(text, format="srt")
    return text.getvalue() + "\n" if captions else ""

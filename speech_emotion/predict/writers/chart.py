"""Text for the screen: bars for a few recordings, a line each for many."""

import sys

from hub_model.timeline import NO_SPEECH
from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import UNSURE, caption_of, clock

BAR_WIDTH = 40


def _block() -> str:
    """What bars are made of: a block, or a sign that every terminal has."""
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#"
    return "█"


def as_chart(file: str, result: Result) -> str:
    """Return bars for the emotions of a recording, below its segments if it has any."""
    lines = [file]
    for segment in result.get("segments", ()):
        times = f"{clock(segment['start'])} - {clock(segment['end'])}"
        lines.append(f"  {times}  {caption_of(segment)}  {segment['transcript'] or ''}".rstrip())
    if "segments" in result:
        lines.append("  as a whole:")
    for emotion in result["emotions"]:
        bar = _block() * round(emotion["score"] * BAR_WIDTH)
        lines.append(f"  {emotion['label']:<10}{emotion['score']:6.1%}  {bar}")
    if result.get("abstained"):
        lines.append(f"  {UNSURE}: no emotion is likely enough")
    if result["transcript"]:
        lines.append(f"  transcript: {result['transcript']} ({result['transcript_source']})")
    else:
        lines.append(f"  no transcript: {result['note']}")
    if result.get("contributions"):
        moved = result["contributions"]["moved"]
        lines.append(f"  moved by the audio {moved['audio']:.0%}, the text {moved['text']:.0%}")
    lines.append(f"  from {' and '.join(result['modalities'])}")
    return "\n".join(lines) + "\n"


def as_line(file: str, result: Result) -> str:
    """Return one line: the most likely emotion, the file and the transcript."""
    best = result["emotions"][0] if result["emotions"] else {"label": NO_SPEECH, "score": None}
    label = UNSURE if result.get("abstained") and result["emotions"] else best["label"]
    caption = caption_of({**best, "label": label})
    return f"{caption:<16}  {file}  {result['transcript'] or ''}".rstrip() + "\n"

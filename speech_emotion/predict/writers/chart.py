"""Text for the screen: bars for a few recordings, a line each for many."""

import sys

from hub_model.timeline import NO_SPEECH
from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.captions import UNSURE, caption_of, clock

BAR_WIDTH = 40

STRONGEST = 3
"""Moments that are shown."""

CHANGE = 0.1
"""Least change of a mean probability, between the first and the last third, that is shown."""


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
        for name, part in result.get("speakers", {}).items():
            lines += _summary(part, f"{name}: ")
        lines += ["  as a whole:", *_summary(result["summary"])]
        lines += ["  from the mean logits of the windows:"] if result["emotions"] else []
    for emotion in result["emotions"]:
        bar = _block() * round(emotion["score"] * BAR_WIDTH)
        lines.append(f"  {emotion['label']:<10}{emotion['score']:6.1%}  {bar}")
    if result.get("abstained"):
        lines.append(f"  {UNSURE}: no emotion is likely enough")
    if result["transcript"]:
        lines.append(f"  transcript: {result['transcript']} ({result['transcript_source']})")
        lines += [f"  note: {result['note']}"] if result["note"] else []
    else:
        lines.append(f"  no transcript: {result['note']}")
    if result.get("contributions"):
        moved = result["contributions"]["moved"]
        lines.append(f"  moved by the audio {moved['audio']:.0%}, the text {moved['text']:.0%}")
    lines.append(f"  from {' and '.join(result['modalities'])}")
    return "\n".join(lines) + "\n"


def _summary(summary: Result, who: str = "") -> list[str]:
    """Lines on speaking time, strongest moments and trend, of a recording or a speaker."""
    shares = ", ".join(f"{label} {share:.0%}" for label, share in summary["shares"].items())
    lines = [f"  {who}{summary['seconds']:.1f} s of speech: {shares or NO_SPEECH}"]
    for moment in summary["strongest"][:STRONGEST]:
        words = f'  "{moment["transcript"]}"' if moment["transcript"] else ""
        lines.append(f"    strongest at {clock(moment['start'])}: {caption_of(moment)}{words}")
    trend = summary["trend"] or {}
    for label in sorted(trend, key=lambda name: -abs(trend[name][2] - trend[name][0])):
        first, middle, last = trend[label]
        if abs(last - first) >= CHANGE:
            lines.append(f"    from start to end: {label} {first:.0%}, {middle:.0%}, {last:.0%}")
    return lines


def as_moving_line(window: Result) -> str:
    """Return one line for a window of a live recording: its end, the emotion and a bar."""
    bar = _block() * round((window["score"] or 0) * BAR_WIDTH)
    return f"{clock(window['end'])[:-4]}  {caption_of(window):<14} {bar}".rstrip()


def as_line(file: str, result: Result) -> str:
    """Return one line: the emotion, the file and the transcript.

    The emotion is the most likely one; with segments that with most of the speaking time.
    """
    if shares := result.get("summary", {}).get("shares"):
        label = next(iter(shares))
        caption = f"{label} {shares[label]:.0%} of speech"
    else:
        best = result["emotions"][0] if result["emotions"] else {"label": NO_SPEECH, "score": None}
        label = UNSURE if result.get("abstained") and result["emotions"] else best["label"]
        caption = caption_of({**best, "label": label})
    return f"{caption:<16}  {file}  {result['transcript'] or ''}".rstrip() + "\n"

"""Praat: a TextGrid with tiers of intervals; intervals without speech are empty."""

from collections.abc import Sequence

from speech_emotion.predict.writers.base import Result
from speech_emotion.predict.writers.tiers import length_of, tiers_of

Interval = tuple[float, float, str]

HEAD = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'


def as_textgrid(result: Result) -> str:
    """Return a TextGrid in Praat's long text format.

    Each speaker has a tier of labels, one of scores and, where there are transcripts, one of those.
    """
    tiers: dict[str, list[Interval]] = {}
    for name, parts in tiers_of(result).items() or [("emotion", [])]:
        times = [(part["start"], part["end"]) for part in parts]
        tiers[name] = [(*time, part["label"]) for time, part in zip(times, parts, strict=True)]
        tiers[f"{name} score"] = [
            (*time, f"{part['score']:.3f}") for time, part in zip(times, parts, strict=True)
        ]
        if any(part["transcript"] for part in parts):
            tiers[f"{name} transcript"] = [
                (*time, part["transcript"] or "") for time, part in zip(times, parts, strict=True)
            ]
    end = length_of(result)
    lines = [f"xmin = 0\nxmax = {end:.3f}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        lines.append(f"    item [{number}]:")
        lines += [f"        {line}" for line in _tier(name, _filled(intervals, end), end)]
    return HEAD + "\n".join(lines) + "\n"


def _tier(name: str, intervals: Sequence[Interval], end: float) -> list[str]:
    lines = ['class = "IntervalTier"', f"name = {_quoted(name)}", "xmin = 0", f"xmax = {end:.3f}"]
    lines.append(f"intervals: size = {len(intervals)}")
    for number, (start, stop, text) in enumerate(intervals, start=1):
        lines.append(f"intervals [{number}]:")
        lines += [
            f"    xmin = {start:.3f}",
            f"    xmax = {stop:.3f}",
            f"    text = {_quoted(text)}",
        ]
    return lines


def _filled(intervals: Sequence[Interval], end: float) -> list[Interval]:
    """The intervals with empty ones between them, as Praat wants a tier without gaps."""
    filled: list[Interval] = []
    at = 0.0
    for start, stop, text in intervals:
        if start > at:
            filled.append((at, start, ""))
        filled.append((start, stop, text))
        at = stop
    return [*filled, (at, end, "")] if at < end or not filled else filled


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

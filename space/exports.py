"""Files that the page offers: CSV, SRT, TextGrid, and the picture of a timeline."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import page
from clips import rendered

NO_SPEECH = "no speech"
UNSURE = "unsure"


def as_csv(lines: Sequence[dict[str, Any]]) -> str:
    """Return dicts with the same keys as a CSV table that is safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
    return text.getvalue()


def _cell(value: Any) -> Any:
    # A spreadsheet would run a transcript or a file name that begins like a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


LESS_THAN = "\ue000"
"""Stands for ``<`` while the library writes: it takes ``<...>`` for markup and drops it."""


def as_srt(segments: Sequence[dict[str, Any]]) -> str:
    """Return subtitles for the segments with speech: label and score, then the transcript."""
    from webvtt import Caption, WebVTT  # not needed to serve the page

    captions = []
    for segment in segments:
        if segment["label"] != NO_SPEECH:
            # An arrow in a transcript would be read as a time.
            words = (segment["transcript"] or "").replace("-->", "->").replace("<", LESS_THAN)
            line = f"{segment['label']} {segment['score']:.0%}" + (f"\n{words}" if words else "")
            captions.append(Caption(_time(segment["start"]), _time(segment["end"]), line))
    text = io.StringIO()
    WebVTT(captions=captions).write(text, format="srt")
    return text.getvalue().replace(LESS_THAN, "<") + ("\n" if captions else "")


def _time(seconds: float) -> str:
    minutes, thousandths = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{thousandths // 1000:02d}.{thousandths % 1000:03d}"


def lanes(segments: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the segments by speaker; those of a recording without speakers under ``""``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for segment in segments:
        found.setdefault(segment.get("speaker", ""), []).append(segment)
    return found


def as_textgrid(segments: Sequence[dict[str, Any]], seconds: float) -> str:
    """Return a TextGrid of Praat: emotions and words of each speaker as tiers.

    Args:
        segments: with `start`, `end`, `label`, `transcript`, and `speaker` if there are several;
            those of one speaker have no gaps.
        seconds: length of the recording.
    """
    tiers: list[tuple[str, list[tuple[float, float, str]]]] = []
    for speaker, members in lanes(segments).items():
        for name, key in (("emotion", "label"), ("words", "transcript")):
            line = [(one["start"], one["end"], one[key] or "") for one in members]
            # Praat wants tiers that end where the file ends.
            line[-1] = (line[-1][0], max(seconds, line[-1][0] + 0.001), line[-1][2])
            tiers.append((f"{speaker} {name}".strip(), line))
    text = [
        'File type = "ooTextFile"\nObject class = "TextGrid"\n',
        f"xmin = 0\nxmax = {seconds:.3f}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:",
    ]
    for number, (name, line) in enumerate(tiers, start=1):
        text.append(
            f'    item [{number}]:\n        class = "IntervalTier"\n'
            f"        name = {_quoted(name)}\n"
            f"        xmin = 0\n        xmax = {seconds:.3f}\n"
            f"        intervals: size = {len(line)}"
        )
        for place, (start, end, words) in enumerate(line, start=1):
            text.append(
                f"        intervals [{place}]:\n            xmin = {start:.3f}\n"
                f"            xmax = {end:.3f}\n            text = {_quoted(words)}"
            )
    return "\n".join(text) + "\n"


def _quoted(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', '""') + '"'


def draw_timeline(
    segments: Sequence[dict[str, Any]], peaks: Sequence[float], seconds: float
) -> np.ndarray:
    """Draw a timeline on white: uint8 (height, width, 4).

    Args:
        segments: as for `as_textgrid`.
        peaks: of the waveform, at equal distances, 0 to 1.
        seconds: length of the recording.
    """
    from matplotlib.figure import Figure  # not needed to serve the page
    from matplotlib.patches import Patch

    rows = lanes(segments)
    figure = Figure(figsize=(10, 2.2 + 0.5 * len(rows)), dpi=150, layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2, 0.5 * len(rows)])
    times = np.linspace(0, seconds, len(peaks))
    top.fill_between(times, np.negative(peaks), peaks, color="#9ca3af", linewidth=0)
    top.set_yticks([])
    for row, members in enumerate(rows.values()):
        spans = [(one["start"], one["end"] - one["start"]) for one in members]
        colours = [page.colour_of(one["label"]) for one in members]
        bottom.broken_barh(spans, (row - 0.4, 0.8), facecolors=colours)
    bottom.set_yticks(range(len(rows)), list(rows))
    bottom.set_ylim(len(rows) - 0.5, -0.5)
    bottom.set_xlim(0, seconds)
    bottom.set_xlabel("seconds")
    labels = dict.fromkeys(segment["label"] for segment in segments)
    figure.legend(
        [Patch(color=page.colour_of(label)) for label in labels],
        list(labels),
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
    )
    return rendered(figure)

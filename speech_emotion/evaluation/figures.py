"""Figures drawn from a results file; each contains a hash of its data."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from speech_emotion.evaluation.tables import ResultsFile, models_of, scored, title_of

VERSION = 2
"""Increased when a figure is drawn differently from the same data."""

CHANCE = 1 / 7


def figures_of(
    name: str, results: ResultsFile
) -> dict[str, tuple[str, Any, Callable[[Any], Figure]]]:
    """Every figure of a results file.

    Returns:
        file name -> description, data, and the function that draws it.
    """
    match results["benchmark"]:
        case "ravdess":
            found = [
                (title_of(one).replace("`", ""), one["scores"]["confusion"])
                for one in models_of(results)
            ]
            return {f"{name}-confusion.png": ("Confusion matrices", found, _confusion)}
        case "table8":
            found = [
                (fill(title_of(one).replace("`", ""), 44), one["scores"]["confusion"])
                for one in scored(results)
                if one["kind"] == "model" or str(one["config"]).startswith("hubert_bert")
            ]
            what = "Confusion matrices of the multimodal models (paper, Figure 8)"
            return {f"{name}-confusion.png": (what, found, _confusion)} if found else {}
        case "calibration":
            states = [(one["system"], one["calibration"]) for one in scored(results)]
            return {
                f"{name}-reliability.png": ("Reliability diagram", states, _reliability),
                f"{name}-coverage.png": ("Accuracy against coverage", states, _coverage),
            }
        case "robustness":
            points = [
                [one["system"], one["group"], one["level"], one["scores"]["ua"], one["condition"]]
                for one in scored(results)
            ]
            return {f"{name}-curves.png": ("UA under each condition", points, _curves)}
    return {}


def png_of(data: Any, draw: Callable[[Any], Figure]) -> bytes:
    """Draw a figure; the same data give the same bytes with the same matplotlib."""
    figure = draw(data)
    canvas = FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None, "Source": stamp_of(data)})
    return buffer.getvalue()


def stamp_of(data: Any) -> str:
    """Hash of the data of a figure."""
    return hashlib.sha256(json.dumps([VERSION, data], sort_keys=True).encode()).hexdigest()


def is_current(file: Path, data: Any) -> bool:
    """Whether a file shows these data."""
    if not file.is_file():
        return False
    with Image.open(file) as image:
        return image.info.get("Source") == stamp_of(data)


def _figure(columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.8 * columns, 4.4), dpi=100, layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _confusion(data: Any) -> Figure:
    figure, panels = _figure(max(1, len(data)))
    for axes, (title, confusion) in zip(panels, data, strict=False):
        labels, rows = confusion["labels"], confusion["rows_true_columns_predicted"]
        shares = [[count / max(sum(row), 1) for count in row] for row in rows]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for line, row in enumerate(rows):
            for column, count in enumerate(row):
                colour = "white" if shares[line][column] > 0.5 else "black"
                axes.text(column, line, str(count), ha="center", va="center", color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="prediction", ylabel="true emotion", title=title)
    return figure


def _reliability(data: Any) -> Figure:
    figure, panels = _figure(max(1, len(data)))
    for axes, (system, states) in zip(panels, data, strict=False):
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
        for name, marker in (("as_shipped", "o"), ("other_speakers", "s")):
            bins = states[name]["bins"]
            error = 100 * states[name]["expected_calibration_error"]
            axes.plot(
                [bin["confidence"] for bin in bins],
                [bin["accuracy"] for bin in bins],
                marker=marker,
                label=f"{name.replace('_', ' ')}, ECE {error:.1f} %",
            )
        axes.set(xlabel="confidence", ylabel="accuracy", title=system, xlim=(0, 1), ylim=(0, 1))
        axes.legend(frameon=False)
    return figure


def _coverage(data: Any) -> Figure:
    figure, (axes,) = _figure(1)
    for system, states in data:
        shares, accuracy = zip(*states["as_shipped"]["coverage_curve"], strict=True)
        axes.plot(shares, accuracy, marker=".", label=system)
    axes.set(xlabel="coverage", ylabel="WA", ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def _curves(data: Any) -> Figure:
    groups = list(dict.fromkeys(group for _, group, *_ in data if group))
    figure, panels = _figure(max(1, len(groups)))
    systems = list(dict.fromkeys(system for system, *_ in data))
    for axes, group in zip(panels, groups, strict=False):
        for number, system in enumerate(systems):
            points = sorted((p[2], p[3]) for p in data if p[0] == system and p[1] == group)
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", color=f"C{number}", label=system)
            for point in data:
                if point[0] == system and point[4] == "as_recorded":
                    axes.axhline(point[3], color=f"C{number}", linestyle="--", linewidth=1)
        axes.axhline(CHANCE, color="grey", linestyle=":")
        axes.set(xlabel=group, ylabel="UA", ylim=(0, 1))
        axes.legend(frameon=False, title="dashed: as recorded; dotted: chance")
    return figure

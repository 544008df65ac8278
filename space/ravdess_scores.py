"""Figures of the RAVDESS benchmark (paper, section IV and Table 9), and what to say of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ravdess_clips import CORPUS, EMOTIONS
from scipy import stats
from sklearn.metrics import confusion_matrix

NO_ANSWER = "no answer"
RESAMPLES, LEVEL, SEED = 2000, 0.95, 42
FEW_SPEAKERS = 10
PAPER = {"wa": 0.7845, "ua": 0.7931}
"""Table 9 as printed; the paper does not say which clips it scores."""

FIGURES = ("wa", "ua", "ua_plus_wa")
INK = "#808795"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was answered about one clip.

    name, speaker, label: what the clip is. predicted: one of EMOTIONS, or None with the reason,
    one line, in error. scores: the probability of each emotion.
    """

    name: str
    speaker: str
    label: str
    predicted: str | None = None
    error: str | None = None
    scores: dict[str, float] | None = None


def score(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures over some clips, as plain JSON values; fractions, UA+WA up to 2.

    A clip without an answer counts as an error. WA is the share of clips that are right, UA the
    mean recall of the emotions that occur. Intervals are over speakers (a cluster bootstrap):
    clips of one speaker rise and fall together.

    Args:
        rows: at least one.
    """
    speakers = sorted({row.speaker for row in rows})
    labels = [*EMOTIONS, NO_ANSWER]
    # int (num_speakers, num_emotions, num_emotions + 1), true emotions by answers.
    counts = np.stack(
        [
            confusion_matrix(
                [row.label for row in rows if row.speaker == speaker],
                [row.predicted or NO_ANSWER for row in rows if row.speaker == speaker],
                labels=labels,
            )[: len(EMOTIONS)]
            for speaker in speakers
        ]
    )
    total = counts.sum(axis=0)
    recall = _recall(total)
    return {
        "clips": len(rows),
        "speakers": len(speakers),
        "unanswered": int(total[:, -1].sum()),
        **dict(zip(FIGURES, _figures(total), strict=True)),
        "recall": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(EMOTIONS, recall, strict=True)
        },
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, **_intervals(counts)},
        "confusion": {
            "labels": list(EMOTIONS),
            "rows_true_columns_predicted": total[:, : len(EMOTIONS)].tolist(),
        },
    }


def _figures(counts: np.ndarray) -> tuple[float, float, float]:
    """WA, UA and UA+WA of a confusion matrix."""
    wa = float(np.trace(counts) / counts.sum())
    ua = float(np.nanmean(_recall(counts)))
    return wa, ua, ua + wa


def _recall(counts: np.ndarray) -> np.ndarray:
    """float (num_emotions,), NaN for an emotion with no clip."""
    clips = counts.sum(axis=1)
    return np.where(clips > 0, np.diagonal(counts) / np.maximum(clips, 1), np.nan)


def _intervals(counts: np.ndarray) -> dict[str, list[float] | None]:
    """Percentile interval of each figure over drawn speakers; None for one speaker alone."""
    if len(counts) < 2:
        return dict.fromkeys(FIGURES)
    found = {}
    for place, name in enumerate(FIGURES):
        drawn = stats.bootstrap(
            (np.arange(len(counts)),),
            lambda units, place=place: _figures(counts[units].sum(axis=0))[place],
            n_resamples=RESAMPLES,
            vectorized=False,
            method="percentile",
            confidence_level=LEVEL,
            rng=np.random.default_rng(SEED),
        )
        found[name] = [float(end) for end in drawn.confidence_interval]
    return found


def overlap(training: dict[str, Any] | None, speakers: set[str]) -> dict[str, Any]:
    """What a model's record says of having heard these speakers.

    Args:
        training: the record under `training` in the model's config; its `stages` count as well.

    Returns:
        `known`, whether it names the speakers it heard; `speakers`, those of them who are scored;
        `perhaps`, whether some stage learnt from RAVDESS without saying from whom.
    """
    records = [training or {}, *((training or {}).get("stages") or [])]
    told = [record for record in records if record.get("speakers") is not None]
    heard = {speaker for record in told for speaker in record["speakers"]}
    # A record with data and speakers is whole; a stage may tell of its corpora by licence alone.
    learnt_from = {
        name.lower()
        for record in records
        for name in (*(record.get("data") or ()), *(record.get("licences") or ()))
    }
    whole = {name.lower() for record in told for name in record.get("data") or ()}
    named = any(speaker.startswith(f"{CORPUS}-") for speaker in heard)
    return {
        "known": bool(told),
        "speakers": sorted(heard & speakers),
        "perhaps": CORPUS in learnt_from - whole and not named,
    }


def verdict(result: dict[str, Any]) -> str:
    """The leak guard's finding in one line of Markdown."""
    found, scored = result["overlap"], result["scores"]["speakers"]
    if not found["known"]:
        line = "Unknown whether the model heard these speakers in training: it does not say."
    elif found["speakers"]:
        line = (
            f"**LEAK: the model heard {len(found['speakers'])} of the {scored} speakers in "
            f"training** ({', '.join(found['speakers'])}): the figures over all clips say little "
            "about a new voice."
        )
    else:
        line = "Speaker-disjoint: by its own record the model heard none of the speakers."
    if found["perhaps"]:
        line += " It also learnt from RAVDESS without saying from whom."
    return line


def markdown(result: dict[str, Any]) -> str:
    """The table beside the paper's, the protocol, the confusion matrix and what was left out."""
    table = [("", "WA", "UA", "UA+WA", "Clips", "Speakers")]
    table.append(_cells(f"{result['model']}, all clips given", result["scores"]))
    if result["unheard"]:
        name = f"{result['model']}, speakers it did not hear in training"
        table.append(_cells(name, result["unheard"]))
    chance = 1 / len(result["emotions"])
    table.append(_plain(f"chance (1/{len(result['emotions'])})", chance, chance))
    table.append(_plain("paper, Table 9, as printed", PAPER["wa"], PAPER["ua"]))
    parts = [_table(table), "\n".join(f"- {note}" for note in _notes(result))]
    matrix = result["scores"]["confusion"]["rows_true_columns_predicted"]
    rows = [
        (f"**{name}**", *map(str, counts), "" if recall is None else f"{100 * recall:.1f}")
        for name, counts, recall in zip(
            EMOTIONS, matrix, result["scores"]["recall"].values(), strict=True
        )
    ]
    parts.append("Clips by true emotion (row) and answer (column):")
    parts.append(_table([("true", *EMOTIONS, "recall"), *rows]))
    return "\n\n".join(parts) + "\n"


def _notes(result: dict[str, Any]) -> list[str]:
    scores = result["scores"]
    notes = [
        verdict(result),
        f"Protocol: RAVDESS speech, neutral removed, every clip given is scored; {result['data']}; "
        f"{result['text_meaning']}.",
        "The paper does not say which clips its Table 9 scores; it splits its corpus at random, "
        "so the same speakers are in training and test.",
        f"WA, UA and UA+WA in per cent, with the {100 * LEVEL:.0f} % interval over speakers "
        f"({RESAMPLES} bootstrap samples, seed {SEED}).",
    ]
    if scores["speakers"] < FEW_SPEAKERS:
        notes.append(
            f"An interval over {scores['speakers']} speakers is a rough guide, and tends to be too "
            "narrow."
        )
    if len(result["emotions"]) < len(EMOTIONS):
        notes.append(f"The model answers {', '.join(result['emotions'])}; only these are scored.")
    notes += [f"Removed: {count} clips ({why})." for why, count in result["removed"].items()]
    notes += _some([f"Not read: {line}." for line in result["rejected"]])
    errors = [f"No answer, counted as an error: {k}: {v}" for k, v in result["errors"].items()]
    return notes + _some(errors)


def _some(lines: list[str], most: int = 5) -> list[str]:
    return lines[:most] + ([f"And {len(lines) - most} more."] if len(lines) > most else [])


def _cells(name: str, scores: dict[str, Any]) -> tuple[str, ...]:
    figures = []
    for figure in FIGURES:
        ends = scores["interval"][figure]
        shown = " to ".join(f"{100 * end:.1f}" for end in ends) if ends else "no interval"
        figures.append(f"{100 * scores[figure]:.1f} ({shown})")
    return (name, *figures, str(scores["clips"]), str(scores["speakers"]))


def _plain(name: str, wa: float, ua: float) -> tuple[str, ...]:
    return (name, *(f"{100 * value:.2f}" for value in (wa, ua, ua + wa)), "", "")


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


def draw_confusion(scores: dict[str, Any]) -> np.ndarray:
    """Draw the confusion matrix (paper, Figure 8): uint8 (height, width, 4), clear background."""
    counts = np.array(scores["confusion"]["rows_true_columns_predicted"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.imshow(shares, cmap="magma", vmin=0.0, vmax=1.0)
    for (row, column), share in np.ndenumerate(shares):
        ink = "black" if share > 0.6 else "white"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=45, ha="right")
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_xlabel("answer")
    axes.set_ylabel("true emotion")
    axes.tick_params(colors=INK)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())

"""Figures of the RAVDESS benchmark (paper, section IV and Table 9), and their report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from clips import counted, rendered
from ravdess_clips import CORPUS, EMOTIONS

NO_PREDICTION = "no prediction"
RESAMPLES, LEVEL, SEED = 2000, 0.95, 42
FEW_SPEAKERS = 10
PAPER = {"wa": 0.7845, "ua": 0.7931}
"""Table 9 as printed; the paper does not say which clips it scores."""

FIGURES = ("wa", "ua", "ua_plus_wa")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for one clip.

    Attributes:
        name, speaker, label: of the clip.
        predicted: one of EMOTIONS; None if there is an error.
        error: why there is no prediction, one line.
        scores: probability of each emotion.
    """

    name: str
    speaker: str
    label: str
    predicted: str | None = None
    error: str | None = None
    scores: dict[str, float] | None = None


def score(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return all figures as plain JSON values: fractions, UA+WA up to 2.

    A clip without a prediction counts as an error. WA is the accuracy, UA the mean recall of the
    emotions that occur. Intervals are over speakers (a cluster bootstrap), as clips of one speaker
    are correlated.

    Args:
        predictions: at least one.
    """
    # Slow, and not needed to serve the page.
    from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

    true = [prediction.label for prediction in predictions]
    predicted = [prediction.predicted or NO_PREDICTION for prediction in predictions]
    recall = recall_score(true, predicted, labels=EMOTIONS, average=None, zero_division=np.nan)
    wa, ua = accuracy_score(true, predicted), float(np.nanmean(recall))
    by_speaker: dict[str, list[int]] = {}
    for place, prediction in enumerate(predictions):
        by_speaker.setdefault(prediction.speaker, []).append(place)
    # int (num_speakers, num_emotions, num_emotions + 1), true by predicted emotion.
    counts = np.stack(
        [
            confusion_matrix(
                [true[place] for place in places],
                [predicted[place] for place in places],
                labels=[*EMOTIONS, NO_PREDICTION],
            )[: len(EMOTIONS)]
            for _, places in sorted(by_speaker.items())
        ]
    )
    return {
        "clips": len(predictions),
        "speakers": len(by_speaker),
        "unanswered": predicted.count(NO_PREDICTION),
        **dict(zip(FIGURES, (wa, ua, ua + wa), strict=True)),
        "recall": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(EMOTIONS, recall, strict=True)
        },
        "interval": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, **_intervals(counts)},
        "confusion": {
            "labels": list(EMOTIONS),
            "rows_true_columns_predicted": counts.sum(axis=0)[:, : len(EMOTIONS)].tolist(),
        },
    }


def _intervals(counts: np.ndarray) -> dict[str, list[float] | None]:
    """Return the percentile interval of each figure over drawn speakers; None for one speaker."""
    if len(counts) < 2:
        return dict.fromkeys(FIGURES)
    from scipy import stats

    def figures(speakers: np.ndarray, axis: int) -> np.ndarray:
        """WA, UA and UA+WA of drawn speakers: (num_figures, num_resamples)."""
        drawn = counts[speakers].sum(axis=-3)
        clips, right = drawn.sum(axis=-1), np.diagonal(drawn, axis1=-2, axis2=-1)
        wa = right.sum(axis=-1) / clips.sum(axis=-1)
        ua = np.divide(right, clips, where=clips > 0, out=np.full(clips.shape, np.nan))
        ua = np.nanmean(ua, axis=-1)
        return np.stack([wa, ua, ua + wa])

    drawn = stats.bootstrap(
        (np.arange(len(counts)),),
        figures,
        n_resamples=RESAMPLES,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        rng=np.random.default_rng(SEED),
    )
    ends = np.transpose(drawn.confidence_interval).tolist()
    return dict(zip(FIGURES, ends, strict=True))


def overlap(record: dict[str, Any] | None, speakers: set[str]) -> dict[str, Any]:
    """Compare a model's training record with the speakers that it is scored on.

    Args:
        record: under `training` in the model's config; its `stages` count as well.
        speakers: of the scored clips.

    Returns:
        `known`: whether the record names speakers; `speakers`: scored speakers that it names;
        `perhaps`: whether a stage used RAVDESS without naming its speakers.
    """
    stages = [record or {}, *((record or {}).get("stages") or [])]
    named = [stage for stage in stages if stage.get("speakers") is not None]
    trained = {speaker for stage in named for speaker in stage["speakers"]}
    # A stage with data and speakers is complete; others may name a corpus by its licence only.
    corpora = {
        name.lower()
        for stage in stages
        for name in (*(stage.get("data") or ()), *(stage.get("licences") or ()))
    }
    complete = {name.lower() for stage in named for name in stage.get("data") or ()}
    has_ravdess = any(speaker.startswith(f"{CORPUS}-") for speaker in trained)
    return {
        "known": bool(named),
        "speakers": sorted(trained & speakers),
        "perhaps": CORPUS in corpora - complete and not has_ravdess,
    }


def verdict(result: dict[str, Any]) -> str:
    """Return the result of the leak guard as one line of Markdown."""
    found, scored = result["overlap"], result["scores"]["speakers"]
    if not found["known"]:
        line = (
            "Unknown whether the model was trained on these speakers: it has no training record "
            "of speakers."
        )
    elif found["speakers"]:
        line = (
            f"**LEAK: the model was trained on {len(found['speakers'])} of the {scored} speakers** "
            f"({', '.join(found['speakers'])}): the figures over all clips do not hold for new "
            "speakers."
        )
    else:
        line = "Speaker-disjoint: the training record has none of these speakers."
    if found["perhaps"]:
        line += " The model was also trained on RAVDESS speakers that the record does not name."
    return line


def markdown(result: dict[str, Any]) -> str:
    """Return the report: table with the paper's figures, protocol, confusion matrix, removals."""
    table = [("", "WA", "UA", "UA+WA", "Clips", "Speakers")]
    table.append(_cells(f"{result['model']}, all clips given", result["scores"]))
    if result["unseen"]:
        name = f"{result['model']}, speakers outside its training data"
        table.append(_cells(name, result["unseen"]))
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
    parts.append("Clips by true emotion (row) and predicted emotion (column):")
    parts.append(_table([("true", *EMOTIONS, "recall"), *rows]))
    return "\n\n".join(parts) + "\n"


def _notes(result: dict[str, Any]) -> list[str]:
    scores = result["scores"]
    notes = [
        verdict(result),
        f"Protocol: RAVDESS speech, neutral removed, every clip given is scored; {result['data']}; "
        f"{result['text_meaning']}.",
        "The paper does not say which clips Table 9 is for; it splits its corpus at random, so "
        "the same speakers are in training and test.",
        f"WA, UA and UA+WA in per cent, with the {100 * LEVEL:.0f} % interval over speakers "
        f"({RESAMPLES} bootstrap samples, seed {SEED}).",
    ]
    if scores["speakers"] < FEW_SPEAKERS:
        notes.append(
            f"An interval over only {counted(scores['speakers'], 'speaker')} is approximate, and "
            "usually too narrow."
        )
    if len(result["emotions"]) < len(EMOTIONS):
        notes.append(
            f"The model has the labels {', '.join(result['emotions'])}; only these are scored."
        )
    notes += [
        f"Removed: {counted(count, 'clip')} ({why})." for why, count in result["removed"].items()
    ]
    notes += _some([f"Not read: {line}." for line in result["rejected"]])
    errors = [f"No prediction, counted as an error: {k}: {v}" for k, v in result["errors"].items()]
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
    """Draw the confusion matrix (paper, Figure 8): uint8 (height, width, 4), transparent."""
    from matplotlib.figure import Figure  # not needed to serve the page

    counts = np.array(scores["confusion"]["rows_true_columns_predicted"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), share in np.ndenumerate(shares):
        ink = "white" if share > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=45, ha="right")
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_xlabel("predicted emotion")
    axes.set_ylabel("true emotion")
    return rendered(figure)

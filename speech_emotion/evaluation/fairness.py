"""Scores of groups of clips, and how far apart they are."""

from typing import Any

import numpy as np
import pandas as pd

from speech_emotion import metrics
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.measuring import Outcome, Settings, Timer, askers
from speech_emotion.evaluation.scoring import ids_of

FIGURES = {"wa": metrics.wa, "ua": metrics.ua}
AGE_BANDS = ((0, 29, "below 30"), (30, 44, "30 to 44"), (45, 59, "45 to 59"), (60, 200, "60 up"))


def run(settings: Settings) -> Outcome:
    """Score every group of gender, corpus, intensity and age band that the data tells of.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    outcome = Outcome()
    for asker in askers(settings, outcome):
        with Timer(outcome, asker.name):
            table = asker.table()
        outcome.tables.append(table.assign(system=asker.name))
        row = asker.row(table)
        row["groups"] = {
            aspect: of_groups(table, names, seed=settings.seed)
            for aspect, names in aspects_of(asker.clips).items()
        }
        outcome.rows.append(row)
    return outcome


def aspects_of(clips: ClipSet) -> dict[str, np.ndarray]:
    """The group of every clip by aspect: str (num_clips,), "" where it is not known."""
    ages = [
        next((n for low, high, n in AGE_BANDS if low <= age <= high), "") if age else ""
        for age in clips.details("age")
    ]
    return {
        "gender": np.array(clips.details("gender", "")),
        "corpus": np.array(clips.corpora),
        "intensity": np.array(clips.details("intensity", "")),
        "age band": np.array(ages),
    }


def of_groups(table: pd.DataFrame, names: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Scores of each group with intervals over speakers, and the gap of the farthest two.

    Args:
        table: predictions.
        names: str (num_clips,), the group of each clip; "" is in none.
        seed: of the bootstrap.

    Returns:
        ``groups`` by name, ``unknown``, the number of clips in none, and ``gap`` by figure (None
        with fewer than two groups): ``best``, ``worst``, ``gap`` and its ``interval``.
    """
    references, predictions, speakers = ids_of(table)
    members = {str(name): names == name for name in sorted(set(names) - {""})}
    groups = {}
    for name, mask in members.items():
        part = references[mask], predictions[mask]
        groups[name] = {"clips": int(mask.sum()), "speakers": len(set(speakers[mask]))}
        for figure, score in FIGURES.items():
            interval = metrics.bootstrap_interval(score, *part, speakers=speakers[mask], seed=seed)
            groups[name][figure] = score(*part)
            groups[name][f"{figure}_interval"] = None if interval is None else list(interval)
    return {
        "groups": groups,
        "unknown": int((names == "").sum()),
        "gap": {
            figure: _gap(figure, groups, members, references, predictions, speakers, seed)
            for figure in FIGURES
        }
        if len(groups) > 1
        else None,
    }


def _gap(
    figure: str,
    groups: dict[str, Any],
    members: dict[str, np.ndarray],
    references: np.ndarray,
    predictions: np.ndarray,
    speakers: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    best = max(groups, key=lambda name: groups[name][figure])
    worst = min(groups, key=lambda name: groups[name][figure])
    interval = metrics.gap_interval(
        FIGURES[figure],
        references,
        predictions,
        first=members[best],
        second=members[worst],
        speakers=speakers,
        seed=seed,
    )
    return {
        "best": best,
        "worst": worst,
        "gap": groups[best][figure] - groups[worst][figure],
        "interval": None if interval is None else list(interval),
    }

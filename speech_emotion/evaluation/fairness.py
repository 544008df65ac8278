"""Scores by group of clips, and the gaps between groups."""

from typing import Any

import numpy as np
import pandas as pd

from speech_emotion import metrics
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.scoring import SCORES, ids_of
from speech_emotion.evaluation.tables import (
    ResultsFile,
    common_notes,
    estimate,
    interval_of,
    markdown_table,
    points,
    scored,
    seen_note,
    with_notes,
)

AGE_BANDS = ((0, 29, "below 30"), (30, 44, "30 to 44"), (45, 59, "45 to 59"), (60, 200, "60 up"))


def run(settings: Settings) -> Outcome:
    """Score every group of gender, corpus, intensity and age band that the data names.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    outcome = Outcome()
    for predictor in predictors(settings, outcome):
        with outcome.timed(predictor.name):
            table = predictor.predict()
        result = predictor.result(table)
        result["groups"] = {
            aspect: of_groups(table, names, seed=settings.seed)
            for aspect, names in aspects_of(predictor.clips).items()
        }
        outcome.add(result, table)
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
    """Scores of each group with intervals over speakers, and the gap between best and worst.

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
    groups: dict[str, dict[str, Any]] = {}
    for name, mask in members.items():
        part = references[mask], predictions[mask]
        groups[name] = {"clips": int(mask.sum()), "speakers": len(set(speakers[mask]))}
        for figure, score in SCORES.items():
            groups[name][figure] = score(*part)
            groups[name][f"{figure}_interval"] = metrics.bootstrap_interval(
                score, *part, speakers=speakers[mask], seed=seed
            )
    gaps: dict[str, Any] = {}
    for figure, score in SCORES.items() if len(groups) > 1 else ():
        values = {name: group[figure] for name, group in groups.items()}
        best = max(groups, key=values.__getitem__)
        worst = min(groups, key=values.__getitem__)
        gaps[figure] = {
            "best": best,
            "worst": worst,
            "gap": values[best] - values[worst],
            "interval": metrics.gap_interval(
                score,
                references,
                predictions,
                first=members[best],
                second=members[worst],
                speakers=speakers,
                seed=seed,
            ),
        }
    return {"groups": groups, "unknown": int((names == "").sum()), "gap": gaps or None}


def table(results: ResultsFile) -> str:
    """Groups with intervals, and the gap between the best and the worst of each aspect."""
    groups, gaps, notes = [], [], []
    for result in scored(results):
        system = f"`{result['system']}`"
        for aspect, found in result["groups"].items():
            for name, group in found["groups"].items():
                figures = [estimate(group[n], group[f"{n}_interval"]) for n in ("wa", "ua")]
                clips, speakers = str(group["clips"]), str(group["speakers"])
                groups.append((system, aspect, name, *figures, clips, speakers))
            if not found["groups"]:
                notes.append(f"The data has no {aspect}.")
            elif found["unknown"]:
                notes.append(f"{system}: {found['unknown']} clips without {aspect}.")
            for figure, gap in (found["gap"] or {}).items():
                which = f"{gap['best']} less {gap['worst']}"
                values = points(gap["gap"]), interval_of(gap["interval"])
                gaps.append((system, aspect, figure.upper(), which, *values))
    notes = [
        *dict.fromkeys(notes),
        *map(seen_note, scored(results)),
        "Intervals are over the speakers of each group; a group of one speaker has none. A gap is "
        "between the best and the worst group; an interval that contains 0 shows no difference.",
        *common_notes(results),
    ]
    first = markdown_table(("System", "Aspect", "Group", "WA", "UA", "Clips", "Speakers"), groups)
    second = markdown_table(("System", "Aspect", "Figure", "Gap", "Points", "95 % interval"), gaps)
    return with_notes(first, second, notes=notes)

"""Calibration: reliability, calibration error and accuracy at coverage."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from hub_model.calibration import fit_temperature
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.scoring import (
    PROBABILITIES,
    answered_of,
    ids_of,
    log_probabilities,
)
from speech_emotion.evaluation.tables import (
    SEEN,
    ResultsFile,
    common_notes,
    estimate,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    with_notes,
)

COVERAGES = (1.0, 0.8, 0.5)
CURVE = tuple(round(share, 2) for share in np.arange(0.1, 1.01, 0.05).tolist())
"""Coverages of the curve in the figure."""


def run(settings: Settings) -> Outcome:
    """Reliability, calibration error before and after a temperature, accuracy at coverage.

    Raises:
        EvaluationError: a model or the data cannot be used, or there is only one speaker, so that
            no temperature can be fitted on others.
    """
    outcome = Outcome()
    for predictor in predictors(settings, outcome):
        model = predictor.model
        if len(set(predictor.clips.speakers)) < 2:
            raise EvaluationError(
                f"--data {settings.data}: calibration fits a temperature on other speakers, "
                "and there is only one"
            )
        with outcome.timed(predictor.name):
            table = predictor.predict()
        answered = answered_of(table)
        if answered["speaker_id"].nunique() < 2:
            raise EvaluationError(
                f"--model {model.name}: predictions for fewer than two speakers; the first "
                f"error: {table['error'].dropna().iloc[0]}"
            )
        result = predictor.result(table)
        result["calibration"] = states_of(
            answered, temperature=model.temperature, seed=settings.seed
        )
        outcome.add(result, table)
    return outcome


def states_of(answered: pd.DataFrame, *, temperature: float, seed: int) -> dict[str, Any]:
    """The calibration of one model in up to three states.

    Args:
        answered: predictions of the clips without errors.
        temperature: of the model; its logits have been divided by it.
        seed: of the bootstrap.

    Returns:
        ``without`` its temperature (when it has one), ``as_shipped``, and ``other_speakers``,
        where each clip's temperature is fitted on all speakers but its own.
    """
    references, _, speakers = ids_of(answered)
    probabilities, logits = answered[PROBABILITIES].to_numpy(), log_probabilities(answered)
    factors = {
        str(name): fit_temperature(references[speakers != name], logits[speakers != name])
        for name in np.unique(speakers)
    }
    own = np.array([factors[name] for name in speakers])[:, None]
    states = {
        "as_shipped": (probabilities, temperature),
        "other_speakers": (
            softmax(logits / own, axis=1),
            [temperature * min(factors.values()), temperature * max(factors.values())],
        ),
    }
    if temperature != 1.0:
        states = {"without": (softmax(logits * temperature, axis=1), 1.0), **states}
    return {
        name: {"temperature": used, **_figures(references, scaled, speakers, seed)}
        for name, (scaled, used) in states.items()
    }


def _figures(
    references: np.ndarray, probabilities: np.ndarray, speakers: np.ndarray, seed: int
) -> dict[str, Any]:
    """Error with its interval over speakers, bins, accuracy at coverage and its curve."""
    interval = metrics.bootstrap_interval(
        metrics.expected_calibration_error, references, probabilities, speakers=speakers, seed=seed
    )

    def accuracy(coverage: float) -> float:
        return metrics.accuracy_at_coverage(references, probabilities, coverage=coverage)

    return {
        "expected_calibration_error": metrics.expected_calibration_error(references, probabilities),
        "interval": interval,
        "bins": metrics.reliability_bins(references, probabilities),
        "accuracy_at_coverage": {str(share): accuracy(share) for share in COVERAGES},
        "coverage_curve": [[share, accuracy(share)] for share in CURVE],
    }


STATES = {
    "without": "without its temperature",
    "as_shipped": "as shipped",
    "other_speakers": "temperature fitted on the other speakers",
}


def table(results: ResultsFile) -> str:
    """Calibration error in each state, and accuracy at coverage."""
    lines = []
    for result in scored(results):
        for name, state in result["calibration"].items():
            used = state["temperature"]
            used = f"{used[0]:.2f} to {used[1]:.2f}" if isinstance(used, list) else f"{used:.2f}"
            lines.append(
                (
                    f"`{result['system']}`",
                    STATES[name],
                    used,
                    estimate(state["expected_calibration_error"], state["interval"]),
                    *map(percent, state["accuracy_at_coverage"].values()),
                    overlap_cell(result),
                )
            )
    header = ("System", "Confidence", "Temperature", "ECE", "WA at 100 %", "at 80 %", "at 50 %")
    notes = [
        "ECE: expected calibration error over 15 bins in per cent, lower is better, with the 95 % "
        "interval over speakers. WA at a coverage: over the most confident clips, when the model "
        "may abstain on the others.",
        "A temperature fitted on the other speakers is fitted for each speaker without that "
        "speaker's clips.",
        *common_notes(results),
    ]
    return with_notes(markdown_table((*header, SEEN), lines), notes=notes)

"""How far a model's confidence can be believed, on clips it has not learnt from."""

from typing import Any

import numpy as np
from scipy.special import softmax

from hub_model.calibration import fit_temperature
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.measuring import Outcome, Settings, Timer, askers
from speech_emotion.evaluation.scoring import PROBABILITIES, ids_of

COVERAGES = (1.0, 0.8, 0.5)
CURVE = tuple(round(share, 2) for share in np.arange(0.1, 1.01, 0.05).tolist())
"""Coverages of the curve in the figure."""


def run(settings: Settings) -> Outcome:
    """Reliability, calibration error before and after a temperature, accuracy at coverage.

    Raises:
        EvaluationError: a model or the data cannot be used, or there is but one speaker, so that
            no temperature can be fitted on others.
    """
    outcome = Outcome()
    for asker in askers(settings, outcome):
        model = asker.model
        if len(set(asker.clips.speakers)) < 2:
            raise EvaluationError(
                f"--data {settings.data}: calibration fits a temperature on other speakers, "
                "and there is only one"
            )
        with Timer(outcome, asker.name):
            table = asker.table()
        outcome.tables.append(table.assign(system=asker.name))
        answered = table[table["predicted"].notna()]
        if answered["speaker_id"].nunique() < 2:
            raise EvaluationError(
                f"--model {model.name}: answered clips of fewer than two speakers; the first "
                f"error: {table['error'].dropna().iloc[0]}"
            )
        references, _, speakers = ids_of(answered)
        probabilities = answered[PROBABILITIES].to_numpy()
        row = asker.row(table)
        row["calibration"] = states_of(
            references, probabilities, speakers, temperature=model.temperature, seed=settings.seed
        )
        outcome.rows.append(row)
    return outcome


def states_of(
    references: np.ndarray,
    probabilities: np.ndarray,
    speakers: np.ndarray,
    *,
    temperature: float,
    seed: int,
) -> dict[str, Any]:
    """The calibration of one model in up to three states.

    Args:
        references: int (num_clips,).
        probabilities: float (num_clips, num_classes), as the model gives them.
        speakers: str (num_clips,).
        temperature: by which the model has divided its logits already.
        seed: of the bootstrap.

    Returns:
        ``without`` its temperature (when it has one), ``as_shipped``, and ``other_speakers``,
        where each clip's temperature is fitted on all speakers but its own.
    """
    logits = np.log(np.clip(probabilities, np.finfo(float).tiny, None))
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
        name: {"temperature": used, **_figures(references, rows, speakers, seed)}
        for name, (rows, used) in states.items()
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
        "interval": None if interval is None else list(interval),
        "bins": metrics.reliability_bins(references, probabilities),
        "accuracy_at_coverage": {str(share): accuracy(share) for share in COVERAGES},
        "coverage_curve": [[share, accuracy(share)] for share in CURVE],
    }

"""Adaptation: UA of a model fitted to unlabelled recordings of each test speaker."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hub_model.calibration import fit_logit_bias
from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.scoring import answered_of, ids_of, log_probabilities
from speech_emotion.evaluation.tables import (
    SEEN,
    ResultsFile,
    common_notes,
    estimate,
    markdown_table,
    overlap_cell,
    scored,
    with_notes,
)

DRAWS = len(EMOTIONS)
"""Random halvings of each speaker's clips; in each, another emotion is the frequent one."""

FREQUENT = 0.7
"""Share of the frequent emotion in ``mostly_one_emotion``."""


def _mostly(half: np.ndarray, emotions: np.ndarray, frequent: int) -> np.ndarray:
    present = np.unique(emotions)
    of_it = half[emotions == present[frequent % len(present)]]
    others = half[emotions != present[frequent % len(present)]]
    return np.concatenate([of_it, others[: round(len(of_it) * (1 - FREQUENT) / FREQUENT)]])


FITTED_TO = {
    "nothing": lambda half, emotions, frequent: half[:0],
    "3": lambda half, emotions, frequent: half[:3],
    "10": lambda half, emotions, frequent: half[:10],
    "half": lambda half, emotions, frequent: half,
    "mostly_one_emotion": _mostly,
}
"""Which clips of the other half the model is fitted to."""


def run(settings: Settings) -> Outcome:
    """UA of a model fitted to unlabelled clips of the same speaker.

    Every clip is classified audio-only by a model fitted to the other half of its speaker's
    clips, or to some of that half.

    Raises:
        EvaluationError: a model or the data cannot be used, or a model was not calibrated with
            clips of every emotion, or is fitted already.
    """
    settings = replace(settings, text="none")
    outcome = Outcome()
    for predictor in predictors(settings, outcome):
        means = means_of(predictor.model)
        with outcome.timed(predictor.name):
            table = predictor.predict()
        answered = answered_of(table)
        references, _, speakers = ids_of(answered)
        logits = predictor.model.temperature * log_probabilities(answered)
        result = predictor.result(table)
        result["adaptation"] = adapted(logits, references, speakers, means, seed=settings.seed)
        outcome.add(result, table)
    return outcome


def adapted(
    logits: np.ndarray,
    references: np.ndarray,
    speakers: np.ndarray,
    means: np.ndarray | Mapping[str, np.ndarray],
    *,
    seed: int,
    fitted_to: Sequence[str] = tuple(FITTED_TO),
) -> dict[str, Any]:
    """UA by the clips the model is fitted to, the mean over :data:`DRAWS` halvings.

    Args:
        logits: float (num_clips, num_classes).
        references: int (num_clips,).
        speakers: str (num_clips,).
        means: float (num_classes, num_classes), the class-mean logits; by speaker, where each is
            predicted by another model.
        seed: of the halves and of the bootstrap.
        fitted_to: some of :data:`FITTED_TO`.

    Returns:
        for each of ``fitted_to`` the UA and its interval over speakers.
    """
    rng = np.random.default_rng(seed)
    predicted = {name: np.zeros((len(references), DRAWS), dtype=int) for name in fitted_to}
    for draw in range(DRAWS):
        for speaker in np.unique(speakers):
            clips = rng.permutation(np.flatnonzero(speakers == speaker))
            own = (means[speaker] if isinstance(means, Mapping) else means).tolist()
            middle = len(clips) // 2
            for half, tested in (
                (clips[:middle], clips[middle:]),
                (clips[middle:], clips[:middle]),
            ):
                for name in fitted_to:
                    chosen = FITTED_TO[name](half, references[half], draw)
                    bias = fit_logit_bias(logits[chosen], own) if len(chosen) else 0
                    predicted[name][tested, draw] = (logits[tested] + bias).argmax(axis=1)

    return {
        name: {
            "ua": float(np.mean([metrics.ua(references, column) for column in found.T])),
            "interval": metrics.bootstrap_interval(
                metrics.ua, references, found, speakers=speakers, seed=seed
            ),
        }
        for name, found in predicted.items()
    }


def means_of(model: Model, classes: Sequence[str] = EMOTIONS) -> np.ndarray:
    """The class-mean logits of a model, for some of its classes.

    Raises:
        EvaluationError: it has none, or is fitted to recordings already.
    """
    if model.class_mean_logits is None:
        raise EvaluationError(
            f"--model {model.name}: was not calibrated with clips of every emotion; run "
            "speech-emotion calibrate"
        )
    if model.adapted:
        raise EvaluationError(f"--model {model.name}: has been fitted to recordings already")
    order = [[emotion for _, emotion in model.labels].index(emotion) for emotion in classes]
    return np.asarray(model.class_mean_logits)[np.ix_(order, order)]


FITTED_NAMES = {
    "nothing": "nothing: the model as it is",
    "3": "3 clips",
    "10": "10 clips",
    "half": "half of the speaker's clips",
    "mostly_one_emotion": "clips of which 70 % are of one emotion",
}


def table(results: ResultsFile) -> str:
    """UA by the unlabelled clips of a speaker that the model is fitted to."""
    lines = [
        (
            f"`{result['system']}`",
            FITTED_NAMES[name],
            estimate(found["ua"], found["interval"]),
            overlap_cell(result),
        )
        for result in scored(results)
        for name, found in result["adaptation"].items()
    ]
    notes = [
        "`speech-emotion adapt` removes the offset that a speaker, room or microphone adds to the "
        "logits. It uses "
        "no labels. Here it is fitted for each speaker: every clip is classified audio-only by a "
        "model fitted to clips of the other half of its speaker's; the mean over seven halvings. "
        "Where one emotion is frequent, it is another one in each halving.",
        *common_notes(results),
    ]
    return with_notes(markdown_table(("System", "Fitted to", "UA", SEEN), lines), notes=notes)

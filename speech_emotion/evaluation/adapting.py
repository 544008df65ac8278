"""What recordings without labels are worth: a model fitted to each speaker it has not heard."""

from dataclasses import replace
from typing import Any

import numpy as np

from hub_model.calibration import fit_logit_bias
from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.measuring import Outcome, Settings, Timer, askers
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.scoring import PROBABILITIES, ids_of

DRAWS = len(EMOTIONS)
"""Random halves of each speaker's clips; in each, another emotion is the frequent one."""

FREQUENT = 0.7
"""Share of the frequent emotion, in the row that shows what that does."""


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
    """UA of a model fitted to clips of the same speaker, whose labels it does not get.

    Every clip is answered from the audio alone by a model fitted to the other half of its speaker's
    clips, or to some of that half.

    Raises:
        EvaluationError: a model or the data cannot be used, or a model was not calibrated with
            clips of every emotion, or is fitted already.
    """
    settings = replace(settings, text="none")
    outcome = Outcome()
    for asker in askers(settings, outcome):
        means = _means(asker.model)
        with Timer(outcome, asker.name):
            table = asker.table()
        outcome.tables.append(table.assign(system=asker.name))
        answered = table[table["predicted"].notna()]
        references, _, speakers = ids_of(answered)
        probabilities = answered[PROBABILITIES].to_numpy()
        logits = asker.model.temperature * np.log(
            np.clip(probabilities, np.finfo(float).tiny, None)
        )
        row = asker.row(table)
        row["adaptation"] = adapted(logits, references, speakers, means, seed=settings.seed)
        outcome.rows.append(row)
    return outcome


def adapted(
    logits: np.ndarray,
    references: np.ndarray,
    speakers: np.ndarray,
    means: np.ndarray,
    *,
    seed: int,
) -> dict[str, Any]:
    """UA by what the model was fitted to, the mean over :data:`DRAWS` halvings.

    Args:
        logits: float (num_clips, num_classes).
        references: int (num_clips,).
        speakers: str (num_clips,).
        means: float (num_classes, num_classes), of :func:`~hub_model.adaptation.emotion_means`.
        seed: of the halves and of the bootstrap.

    Returns:
        for each entry of :data:`FITTED_TO` the UA and its interval over speakers.
    """
    rng = np.random.default_rng(seed)
    answers = {name: np.zeros((len(references), DRAWS), dtype=int) for name in FITTED_TO}
    for draw in range(DRAWS):
        for speaker in np.unique(speakers):
            clips = rng.permutation(np.flatnonzero(speakers == speaker))
            middle = len(clips) // 2
            for half, tested in (
                (clips[:middle], clips[middle:]),
                (clips[middle:], clips[:middle]),
            ):
                for name, choose in FITTED_TO.items():
                    chosen = choose(half, references[half], draw)
                    bias = fit_logit_bias(logits[chosen], means) if len(chosen) else 0
                    answers[name][tested, draw] = (logits[tested] + bias).argmax(axis=1)

    def mean_ua(truth: np.ndarray, found: np.ndarray) -> float:
        return float(np.mean([metrics.ua(truth, column) for column in found.T]))

    rows = {}
    for name, found in answers.items():
        interval = metrics.bootstrap_interval(
            mean_ua, references, found, speakers=speakers, seed=seed
        )
        rows[name] = {
            "ua": mean_ua(references, found),
            "interval": None if interval is None else list(interval),
        }
    return rows


def _means(model: Model) -> np.ndarray:
    if model.class_mean_logits is None:
        raise EvaluationError(
            f"--model {model.name}: was not calibrated with clips of every emotion; run "
            "speech-emotion calibrate"
        )
    if model.adapted:
        raise EvaluationError(f"--model {model.name}: is fitted to recordings already")
    order = [[emotion for _, emotion in model.labels].index(emotion) for emotion in EMOTIONS]
    return np.asarray(model.class_mean_logits)[np.ix_(order, order)]

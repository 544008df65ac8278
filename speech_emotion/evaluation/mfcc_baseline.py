"""The MFCC baseline beside every model: logistic regression on mean MFCCs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from hub_model.labels import EMOTIONS
from speech_emotion.baselines.classical import new_classifier
from speech_emotion.baselines.features import mfcc_means
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Result, clip_facts
from speech_emotion.evaluation.classifiers import Prediction, decoded
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.leaks import TrainingRecord
from speech_emotion.evaluation.provenance import portable_line
from speech_emotion.evaluation.scoring import score

NAME = "logistic regression, mean MFCCs"

Features = list[np.ndarray | str]
"""For each clip float32 (20,), or its error line."""


class Mfccs:
    """Mean MFCCs of clips; a clip of several sets is decoded and cleaned once.

    Args:
        data: folder of the clips, as the user gave it, or a data set id.
    """

    def __init__(self, data: str) -> None:
        self._data = data
        self._known: dict[tuple[bool, str], np.ndarray | str] = {}

    def __call__(self, clips: ClipSet) -> Features:
        """The MFCCs of every clip. Clips that have not been cleaned are, with the defaults."""
        keys = [(clips.cleaned, name) for name in clips.clips["utterance_id"][:]]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        rows = clips.clips.select(new)
        progress = tqdm(rows, desc="MFCCs", unit="clip", disable=None)
        for index, row in zip(new, progress, strict=True):
            waveform = decoded(row["audio"], clean=not clips.cleaned)
            self._known[keys[index]] = (
                portable_line(waveform, self._data)
                if isinstance(waveform, str)
                else mfcc_means(waveform)
            )
        return [self._known[key] for key in keys]


def fit(features: Features, labels: ArrayLike, *, seed: int) -> Pipeline:
    """Fit the classifier on the clips that have features.

    Args:
        features: of every training clip.
        labels: int (num_clips,).
        seed: of the classifier.

    Raises:
        EvaluationError: fewer than two emotions are left.
    """
    usable = [index for index, values in enumerate(features) if not isinstance(values, str)]
    known = np.asarray(labels)[usable]
    if len(set(known)) < 2:
        raise EvaluationError(f"{NAME}: the training clips have fewer than two emotions")
    classifier = new_classifier("logistic_regression", seed=seed)
    return classifier.fit([features[index] for index in usable], known)


def predict(
    classifier: Pipeline, features: Features, *, classes: Sequence[str] = EMOTIONS
) -> list[Prediction]:
    """Probabilities of the classes; 0 for one without training clips."""
    predictions: list[Prediction] = []
    for values in features:
        if isinstance(values, str):
            predictions.append(values)
            continue
        probabilities = np.zeros(len(classes))
        probabilities[classifier.classes_] = classifier.predict_proba(values[None])[0]
        predictions.append(probabilities)
    return predictions


def cross_predict(
    features: Features,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    classes: Sequence[str] = EMOTIONS,
) -> list[Prediction]:
    """Predict each group of clips with a classifier trained on all other groups.

    Args:
        features: of every clip.
        labels: int (num_clips,), indices into ``classes``.
        groups: (num_clips,), the fold or the corpus of each clip.
        seed: of the classifiers.
        classes: the emotions that are predicted.

    Raises:
        EvaluationError: the others of a group have fewer than two emotions.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    predictions: list[Prediction] = [""] * len(features)
    for outside, inside in LeaveOneGroupOut().split(labels, groups=groups):
        classifier = fit([features[index] for index in outside], labels[outside], seed=seed)
        found = predict(classifier, [features[index] for index in inside], classes=classes)
        for index, prediction in zip(inside, found, strict=True):
            predictions[index] = prediction
    return predictions


def baseline_result(
    table: pd.DataFrame,
    clips: ClipSet,
    speakers: Sequence[str],
    *,
    seed: int,
    classes: Sequence[str] = EMOTIONS,
    **more: Any,
) -> Result:
    """The result of the baseline on a set of clips.

    Args:
        table: its predictions.
        clips: the clips.
        speakers: those of its training clips.
        seed: of the bootstrap.
        classes: the emotions that are predicted.
        more: further values of the result.
    """
    return {
        "kind": "baseline",
        "system": NAME,
        **more,
        **clip_facts(TrainingRecord(speakers=frozenset(speakers)), clips),
        "scores": score(table, classes=classes, seed=seed),
    }

"""The yardstick beside every model: logistic regression on mean MFCCs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from hub_model.audio import AudioError, clean_audio, load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.baselines.classical import new_classifier
from speech_emotion.baselines.features import mfcc_means
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.classifiers import Answer
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.provenance import portable_line
from speech_emotion.evaluation.tables import BASELINE as NAME

Features = list[np.ndarray | str]
"""For each clip float32 (20,), or the line saying why there are none."""


class Mfccs:
    """Mean MFCCs of clips; a clip that is in several sets is cleaned and decoded once.

    Args:
        data: folder of the clips, as the user gave it, or a data set id.
    """

    def __init__(self, data: str) -> None:
        self._data = data
        self._known: dict[tuple[bool, str], np.ndarray | str] = {}

    def __call__(self, clips: ClipSet) -> Features:
        """Those of every clip. Audio that is not cleaned yet is cleaned with the defaults."""
        keys = [(clips.cleaned, name) for name in clips.clips["utterance_id"][:]]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        rows = clips.clips.select(new)
        progress = tqdm(rows, desc="MFCCs", unit="clip", disable=None)
        for index, row in zip(new, progress, strict=True):
            self._known[keys[index]] = self._of(row["audio"], clean=not clips.cleaned)
        return [self._known[key] for key in keys]

    def _of(self, audio: dict, *, clean: bool) -> np.ndarray | str:
        try:
            waveform = load_audio(audio)
            return mfcc_means(clean_audio(waveform) if clean else waveform)
        except AudioError as error:
            return portable_line(str(error), self._data)


def fit(features: Features, labels: ArrayLike, *, seed: int) -> Pipeline:
    """Fit the classifier on the clips that have features.

    Args:
        features: of every training clip.
        labels: int (num_clips,).
        seed: of the classifier.

    Raises:
        EvaluationError: fewer than two emotions are left to learn from.
    """
    usable = [index for index, values in enumerate(features) if not isinstance(values, str)]
    known = np.asarray(labels)[usable]
    if len(set(known)) < 2:
        raise EvaluationError(f"{NAME}: the training clips hold fewer than two emotions")
    classifier = new_classifier("logistic_regression", seed=seed)
    return classifier.fit([features[index] for index in usable], known)


def classify(
    classifier: Pipeline, features: Features, *, classes: Sequence[str] = EMOTIONS
) -> list[Answer]:
    """Probabilities of the classes; one that is absent from training has none."""
    answers: list[Answer] = []
    for values in features:
        if isinstance(values, str):
            answers.append(values)
            continue
        probabilities = np.zeros(len(classes))
        probabilities[classifier.classes_] = classifier.predict_proba(values[None])[0]
        answers.append(probabilities)
    return answers


def from_the_others(
    features: Features,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    classes: Sequence[str] = EMOTIONS,
) -> list[Answer]:
    """Answer each group of clips by a classifier that learnt from all other groups.

    Args:
        features: of every clip.
        labels: int (num_clips,), indices into ``classes``.
        groups: (num_clips,), the fold or the corpus of each clip.
        seed: of the classifiers.
        classes: what is answered.

    Raises:
        EvaluationError: the others of a group hold fewer than two emotions.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    answers: list[Answer] = [""] * len(features)
    for group in np.unique(groups):
        inside, outside = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
        classifier = fit([features[index] for index in outside], labels[outside], seed=seed)
        found = classify(classifier, [features[index] for index in inside], classes=classes)
        for index, answer in zip(inside, found, strict=True):
            answers[index] = answer
    return answers

"""The yardstick beside every model: logistic regression on mean MFCCs."""

from collections.abc import Sequence

import numpy as np
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from baselines.classical import new_classifier
from baselines.features import mfcc_means
from corpus_builder.labels import EMOTIONS
from evaluation import EvaluationError
from evaluation.clips import ClipSet
from evaluation.models import Answer
from hub_model.audio import AudioError, clean_audio, load_audio

NAME = "logistic regression, mean MFCCs"


def mfcc_features(clips: ClipSet) -> list[np.ndarray | str]:
    """Mean MFCCs (20,) of every clip, or the line saying why there are none.

    Audio that is not cleaned yet is cleaned with the default settings.
    """
    features: list[np.ndarray | str] = []
    for row in tqdm(clips.clips, desc="MFCCs", unit="clip", disable=None):
        try:
            waveform = load_audio(row["audio"])
            features.append(mfcc_means(waveform if clips.cleaned else clean_audio(waveform)))
        except AudioError as error:
            features.append(str(error))
    return features


def fit(clips: ClipSet, *, seed: int) -> tuple[Pipeline, dict[str, str]]:
    """Fit the classifier on a training set.

    Returns:
        The classifier, and the clips that could not be used with the reason of each.

    Raises:
        EvaluationError: fewer than two emotions are left to learn from.
    """
    features = mfcc_features(clips)
    usable = [index for index, values in enumerate(features) if not isinstance(values, str)]
    labels = clips.labels[usable]
    if len(set(labels)) < 2:
        raise EvaluationError(f"{NAME}: the training clips hold fewer than two emotions")
    classifier = new_classifier("logistic_regression", seed=seed)
    classifier.fit([features[index] for index in usable], labels)
    ids = clips.clips["utterance_id"][:]
    skipped = {ids[i]: text for i, text in enumerate(features) if isinstance(text, str)}
    return classifier, skipped


def classify(classifier: Pipeline, features: Sequence[np.ndarray | str]) -> list[Answer]:
    """Probabilities of the seven emotions; an emotion absent from training has none."""
    answers: list[Answer] = []
    for values in features:
        if isinstance(values, str):
            answers.append(values)
            continue
        probabilities = np.zeros(len(EMOTIONS))
        probabilities[classifier.classes_] = classifier.predict_proba(values[None])[0]
        answers.append(probabilities)
    return answers

"""Scores of a prediction: WA, UA, their sum, macro-F1, recall, confusion; concordance of numbers.

Names as in the paper (section IV). All figures are fractions, 1.0 for a perfect score (2.0 for
UA+WA). A clip without a prediction has :data:`NO_ANSWER`, which no class equals, so it counts as
an error.

WA, UA and macro-F1 are computed with numpy and equal those of scikit-learn, which checks its input
in each of the thousands of calls of a bootstrap.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

NO_ANSWER = -1
"""Prediction of a clip for which the model returned an error."""


def wa(references: ArrayLike, predictions: ArrayLike) -> float:
    """Weighted accuracy: the share of correct clips (paper, section IV).

    Args:
        references: int (num_clips,), the true class ids.
        predictions: int (num_clips,), the predicted class ids.

    >>> wa([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    references, predictions = _as_ids(references, predictions)
    return float(np.mean(references == predictions))


def ccc(references: ArrayLike, predictions: ArrayLike) -> float:
    """Concordance correlation of two lists of numbers: 1 when they are equal (Lin, 1989).

    >>> ccc([1, 2, 3], [1, 2, 3])
    1.0
    >>> ccc([1, 2, 3], [3, 2, 1])
    -1.0
    """
    a, b = np.asarray(references, dtype=float), np.asarray(predictions, dtype=float)
    shared = np.mean((a - a.mean()) * (b - b.mean()))
    spread = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(2 * shared / spread) if spread else 1.0


def ua(references: ArrayLike, predictions: ArrayLike) -> float:
    """Unweighted (balanced) accuracy: the mean recall of the classes (paper, section IV).

    The mean is over the classes that occur in ``references``.

    >>> ua([0, 0, 0, 0, 1], [0, 0, 0, 1, 1])
    0.875
    """
    references, predictions = _as_ids(references, predictions)
    clips = np.bincount(references)
    hits = np.bincount(references[references == predictions], minlength=len(clips))
    return float(np.mean(hits[clips > 0] / clips[clips > 0]))


def ua_plus_wa(references: ArrayLike, predictions: ArrayLike) -> float:
    """UA + WA, 0 to 2: the score by which the paper selects and compares models.

    >>> ua_plus_wa([0, 0, 0, 0, 1], [0, 0, 0, 1, 1])
    1.675
    """
    return ua(references, predictions) + wa(references, predictions)


def macro_f1(references: ArrayLike, predictions: ArrayLike) -> float:
    """Mean F1 of the classes that occur in ``references``.

    >>> round(macro_f1([0, 0, 1, 1], [0, 0, 0, 1]), 4)
    0.7333
    """
    references, predictions = _as_ids(references, predictions)
    clips = np.bincount(references)
    hits = np.bincount(references[references == predictions], minlength=len(clips))
    predicted = np.bincount(predictions[predictions >= 0], minlength=len(clips))[: len(clips)]
    return float(np.mean((2 * hits / np.maximum(clips + predicted, 1))[clips > 0]))


def per_class_recall(
    references: ArrayLike, predictions: ArrayLike, *, num_classes: int
) -> list[float | None]:
    """Recall of each class id, in order; None for a class with no clip.

    >>> per_class_recall([0, 0, 2], [0, 1, 2], num_classes=3)
    [0.5, None, 1.0]
    """
    labels = np.arange(num_classes)
    present = np.isin(labels, references)
    recalls = sk.recall_score(
        references, predictions, labels=labels, average=None, zero_division=0.0
    )
    return [float(r) if p else None for r, p in zip(recalls, present, strict=True)]


def confusion_matrix(
    references: ArrayLike, predictions: ArrayLike, *, num_classes: int
) -> np.ndarray:
    """Clips by true class (row) and predicted class (column), as in the paper's Figure 8.

    Clips without a prediction are in no column, so a row's sum can be less than its class's clips.

    Returns:
        int (num_classes, num_classes)

    >>> confusion_matrix([0, 0, 1, 1], [0, 1, 1, -1], num_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    return sk.confusion_matrix(references, predictions, labels=np.arange(num_classes))


def _as_ids(references: ArrayLike, predictions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    references, predictions = np.asarray(references), np.asarray(predictions)
    if references.shape != predictions.shape or references.ndim != 1 or not len(references):
        raise ValueError(
            "references and predictions must be two lists of one length and not empty, got "
            f"shapes {references.shape} and {predictions.shape}"
        )
    return references, predictions

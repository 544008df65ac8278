"""Scores of a prediction: WA, UA, their sum, macro-F1, recall, confusion; concordance of numbers.

Names as in the paper (section IV). All figures are fractions, 1.0 for a perfect score (2.0 for
UA+WA). A clip without a prediction has :data:`NO_ANSWER`, which no class equals, so it counts as
an error.

WA, UA and macro-F1 equal those of scikit-learn, but follow from the counts of each class, so that
a bootstrap computes them for all of its draws at once.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

NO_ANSWER = -1
"""Prediction of a clip for which the model returned an error."""


class Counts(NamedTuple):
    """Clips of each class, those of them that are right, and those predicted: (..., classes)."""

    clips: np.ndarray
    hits: np.ndarray
    predicted: np.ndarray

    @classmethod
    def of(
        cls, references: ArrayLike, predictions: ArrayLike, num_classes: int | None = None
    ) -> "Counts":
        """Count int (num_clips,) of true and of predicted class ids."""
        references, predictions = np.asarray(references, int), np.asarray(predictions, int)
        number = int(references.max()) + 1 if num_classes is None else num_classes
        known = predictions[(predictions >= 0) & (predictions < number)]
        return cls(
            np.bincount(references, minlength=number),
            np.bincount(references[references == predictions], minlength=number),
            np.bincount(known, minlength=number),
        )


def wa(references: ArrayLike, predictions: ArrayLike) -> float:
    """Weighted accuracy: the share of correct clips (paper, section IV).

    Args:
        references: int (num_clips,), the true class ids.
        predictions: int (num_clips,), the predicted class ids.

    >>> wa([0, 0, 0, 1], [0, 0, 1, 1])
    0.75
    """
    return _of_counts(wa, references, predictions)


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
    return _of_counts(ua, references, predictions)


def ua_plus_wa(references: ArrayLike, predictions: ArrayLike) -> float:
    """UA + WA, 0 to 2: the score by which the paper selects and compares models.

    >>> ua_plus_wa([0, 0, 0, 0, 1], [0, 0, 0, 1, 1])
    1.675
    """
    return _of_counts(ua_plus_wa, references, predictions)


def macro_f1(references: ArrayLike, predictions: ArrayLike) -> float:
    """Mean F1 of the classes that occur in ``references``.

    >>> round(macro_f1([0, 0, 1, 1], [0, 0, 0, 1]), 4)
    0.7333
    """
    return _of_counts(macro_f1, references, predictions)


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


def _wa(counts: Counts) -> np.ndarray:
    return counts.hits.sum(axis=-1) / counts.clips.sum(axis=-1)


def _ua(counts: Counts) -> np.ndarray:
    return _mean_of_classes(counts.hits / np.maximum(counts.clips, 1), counts)


def _macro_f1(counts: Counts) -> np.ndarray:
    f1 = 2 * counts.hits / np.maximum(counts.clips + counts.predicted, 1)
    return _mean_of_classes(f1, counts)


def _mean_of_classes(values: np.ndarray, counts: Counts) -> np.ndarray:
    return np.mean(values, axis=-1, where=counts.clips > 0)


OF_COUNTS: dict[Callable[..., float], Callable[[Counts], np.ndarray]] = {
    wa: _wa,
    ua: _ua,
    ua_plus_wa: lambda counts: _ua(counts) + _wa(counts),
    macro_f1: _macro_f1,
}
"""The scores that follow from counts, for any number of draws: (..., classes) to (...)."""


def _of_counts(score: Callable[..., float], references: ArrayLike, predictions: ArrayLike) -> float:
    references, predictions = np.asarray(references), np.asarray(predictions)
    if references.shape != predictions.shape or references.ndim != 1 or not len(references):
        raise ValueError(
            "references and predictions must be two lists of one length and not empty, got "
            f"shapes {references.shape} and {predictions.shape}"
        )
    return float(OF_COUNTS[score](Counts.of(references, predictions)))

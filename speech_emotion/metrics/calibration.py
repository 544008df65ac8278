"""Calibration of a model's confidence."""

import math

import numpy as np
from numpy.typing import ArrayLike


def expected_calibration_error(
    references: ArrayLike, probabilities: ArrayLike, *, bins: int = 15
) -> float:
    """Mean distance of confidence from accuracy over equal-width bins of confidence.

    The confidence of a clip is its highest probability. Bins are (low, high], the first one
    closed at zero; each counts by its number of clips (Guo et al., 2017).

    Args:
        references: int (num_clips,), the true class ids.
        probabilities: float (num_clips, num_classes), each row a distribution.

    >>> round(expected_calibration_error([0, 1], [[0.9, 0.1], [0.8, 0.2]]), 2)
    0.45
    """
    confidence, correct = _confidence_and_correct(references, probabilities)
    gaps = np.bincount(_bin_ids(confidence, bins), weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability_bins(
    references: ArrayLike, probabilities: ArrayLike, *, bins: int = 15
) -> list[dict[str, float]]:
    """The points of a reliability diagram, over the bins of :func:`expected_calibration_error`.

    Args:
        references: int (num_clips,), the true class ids.
        probabilities: float (num_clips, num_classes), each row a distribution.

    Returns:
        for every bin with clips, in order: ``low`` and ``high`` ends, ``clips``, mean
        ``confidence`` and ``accuracy``.

    >>> [bin["clips"] for bin in reliability_bins([0, 1], [[0.9, 0.1], [0.8, 0.2]], bins=5)]
    [1, 1]
    """
    confidence, correct = _confidence_and_correct(references, probabilities)
    ids = _bin_ids(confidence, bins)
    return [
        {
            "low": float(index / bins),
            "high": float((index + 1) / bins),
            "clips": int((ids == index).sum()),
            "confidence": float(confidence[ids == index].mean()),
            "accuracy": float(correct[ids == index].mean()),
        }
        for index in np.unique(ids)
    ]


def _bin_ids(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.digitize(confidence, np.linspace(0.0, 1.0, bins + 1)[1:-1], right=True)


def accuracy_at_coverage(
    references: ArrayLike, probabilities: ArrayLike, *, coverage: float
) -> float:
    """WA over the most confident clips, when the model abstains on the others.

    Args:
        references: int (num_clips,), the true class ids.
        probabilities: float (num_clips, num_classes).
        coverage: share of clips with a prediction, above 0 and up to 1; rounded up to whole
            clips. Of clips with equal confidence the first ones are kept.

    Raises:
        ValueError: ``coverage`` is outside (0, 1].

    >>> accuracy_at_coverage([0, 1], [[0.9, 0.1], [0.8, 0.2]], coverage=0.5)
    1.0
    """
    if not 0.0 < coverage <= 1.0:
        raise ValueError(f"coverage must be above 0 and at most 1, not {coverage}")
    confidence, correct = _confidence_and_correct(references, probabilities)
    # 9 digits: 0.07 * 100 is 7.000000000000001, which must not become 8 clips.
    kept = math.ceil(round(coverage * len(confidence), 9))
    order = np.argsort(-confidence, kind="stable")
    return float(correct[order[:kept]].mean())


def _confidence_and_correct(
    references: ArrayLike, probabilities: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    references = np.asarray(references)
    if probabilities.ndim != 2 or len(probabilities) != len(references) or not len(references):
        raise ValueError(
            "one row of probabilities per clip is needed, got "
            f"{probabilities.shape} for {len(references)} clips"
        )
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == references

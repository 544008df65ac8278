"""Confidence that can be believed: the temperature that divides the logits."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LOWEST, HIGHEST = 0.05, 20.0
"""Range of the temperature."""


def negative_log_likelihood(
    references: ArrayLike, logits: ArrayLike, *, temperature: float = 1.0
) -> float:
    """Mean of minus the logarithm of the probability that the true class is given.

    Args:
        references: int (num_clips,), the true class ids.
        logits: float (num_clips, num_classes).
        temperature: what the logits are divided by.

    >>> round(negative_log_likelihood([0], [[0.0, 0.0]]), 4)
    0.6931
    """
    references, logits = np.asarray(references), np.asarray(logits, dtype=float)
    chances = log_softmax(logits / temperature, axis=1)
    return float(-chances[np.arange(len(references)), references].mean())


def fit_temperature(references: ArrayLike, logits: ArrayLike) -> float:
    """Find the number that logits are divided by so that their likelihood is highest.

    The answers stay the same, only their confidence changes (Guo et al., 2017). Fit it on clips
    that the model did not learn from.

    Args:
        references: int (num_clips,), the true class ids.
        logits: float (num_clips, num_classes).

    Returns:
        between 0.05 and 20; above 1 for a model that is too sure of itself.

    >>> round(fit_temperature([0, 0, 1], [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), 2)
    2.89
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(references, logits, temperature=math.exp(log_temperature))

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    return float(math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))

"""Paired tests of two models on the same clips."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from speech_emotion.metrics.resampling import (
    LEVEL,
    RESAMPLES,
    SEED,
    Interval,
    Score,
    percentile_interval,
    sampling_units,
    scores_of_draws,
)


@dataclass(frozen=True)
class PairedBootstrap:
    """Score of the second model less that of the first, on the same clips.

    Attributes:
        difference: on the clips themselves, in the score's unit.
        interval: bootstrap interval of the difference.
        p_value: two-sided; twice the smaller share of resamples on either side of zero.
    """

    difference: float
    interval: Interval
    p_value: float


@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test.

    Attributes:
        only_first: clips that only the first model classified correctly.
        only_second: clips that only the second model classified correctly.
        p_value: two-sided, exact binomial; 1.0 when the models never differ.
    """

    only_first: int
    only_second: int
    p_value: float


def paired_bootstrap(
    score: Score,
    references: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    speakers: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> PairedBootstrap:
    """Bootstrap of the score difference, both models on the same draws.

    Args:
        score: takes (references, predictions) and returns one number.
        references: (num_clips,), the true class ids.
        first: (num_clips,), predictions of the first model.
        second: (num_clips,), predictions of the second model.
        speakers: (num_clips,): draw whole speakers; None draws clips.
        resamples: number of bootstrap samples.
        seed: same seed, same result.
        level: coverage of the interval.

    Raises:
        ValueError: there are fewer than two speakers (or clips) to draw from.

    >>> from speech_emotion.metrics import wa
    >>> paired_bootstrap(wa, [0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], resamples=99).p_value
    1.0
    """
    references, first, second = map(np.asarray, (references, first, second))
    units = sampling_units(len(references), speakers)
    if len(units) < 2:
        raise ValueError("a paired bootstrap needs at least two speakers (or clips)")

    one, other = (scores_of_draws(score, units, references, found) for found in (first, second))

    def difference_of(drawn: np.ndarray) -> np.ndarray:
        return other(drawn) - one(drawn)

    interval, drawn = percentile_interval(difference_of, len(units), resamples, seed, level)
    # One is added to both counts, as the observed data is itself a possible draw.
    tail = min(np.sum(drawn <= 0.0), np.sum(drawn >= 0.0)) + 1
    p_value = min(1.0, 2.0 * tail / (resamples + 1))
    difference = float(difference_of(np.arange(len(units))[None])[0])
    return PairedBootstrap(difference, interval, float(p_value))


def mcnemar(references: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact McNemar test on the clips that only one of two models classified correctly.

    It treats clips as independent, which clips of one speaker are not: use it together with the
    paired bootstrap over speakers.

    >>> mcnemar([0, 0, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0])
    McNemar(only_first=0, only_second=4, p_value=0.125)
    """
    references, first, second = map(np.asarray, (references, first, second))
    only_first = int(np.sum((first == references) & (second != references)))
    only_second = int(np.sum((first != references) & (second == references)))
    differing = only_first + only_second
    p_value = stats.binomtest(only_first, differing).pvalue if differing else 1.0
    return McNemar(only_first, only_second, float(p_value))

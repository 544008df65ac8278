"""Bootstrap intervals, over clips or over whole speakers.

Clips of one speaker are correlated, so an interval over clips is too narrow; the one over speakers
draws whole speakers (a cluster bootstrap) and is the one to report.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

RESAMPLES = 2000
SEED = 42
LEVEL = 0.95

Score = Callable[[np.ndarray, np.ndarray], float]
"""A score of (references, predictions), such as `wa` or `ua`."""


class Interval(NamedTuple):
    """A percentile interval, both ends in the score's own unit."""

    low: float
    high: float


def bootstrap_interval(
    score: Score,
    references: ArrayLike,
    predictions: ArrayLike,
    *,
    speakers: ArrayLike | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval | None:
    """Percentile bootstrap interval of a score.

    Args:
        score: takes (references, predictions) and returns one number.
        references: (num_clips,), the true class ids.
        predictions: (num_clips,), the predicted class ids, or any array with a row per clip that
            ``score`` accepts.
        speakers: (num_clips,), the speaker of each clip: whole speakers are drawn. None
            draws clips.
        resamples: number of bootstrap samples.
        seed: same seed, same interval.
        level: coverage of the interval.

    Returns:
        The interval, or None when fewer than two speakers (or clips) leave nothing to draw.

    >>> from speech_emotion.metrics import wa
    >>> bootstrap_interval(wa, [0, 1, 1, 0], [0, 1, 1, 0], resamples=100)
    Interval(low=1.0, high=1.0)
    """
    references, predictions = np.asarray(references), np.asarray(predictions)
    units = sampling_units(len(references), speakers)
    if len(units) < 2:
        return None

    def score_of(drawn: np.ndarray) -> float:
        clips = np.concatenate([units[unit] for unit in drawn])
        return score(references[clips], predictions[clips])

    return _percentile_interval(score_of, len(units), resamples, seed, level)[0]


def gap_interval(
    score: Score,
    references: ArrayLike,
    predictions: ArrayLike,
    *,
    first: ArrayLike,
    second: ArrayLike,
    speakers: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval | None:
    """Percentile bootstrap interval, over speakers, of one group's score less another's.

    A draw of speakers in which a group has no clip is drawn again.

    Args:
        score: takes (references, predictions) and returns one number.
        references: (num_clips,), the true class ids.
        predictions: (num_clips,), the predicted class ids.
        first: bool (num_clips,), the clips of one group.
        second: bool (num_clips,), the clips of the other.
        speakers: (num_clips,), the speaker of each clip.
        resamples: number of bootstrap samples.
        seed: same seed, same interval.
        level: coverage of the interval.

    Returns:
        The interval, or None when there are fewer than two speakers, or a group has no clip.

    >>> from speech_emotion.metrics import wa
    >>> gap_interval(wa, [0, 1], [0, 0], first=[1, 0], second=[0, 1], speakers=["a", "b"])
    Interval(low=1.0, high=1.0)
    """
    references, predictions = np.asarray(references), np.asarray(predictions)
    groups = [np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)]
    units = sampling_units(len(references), speakers)
    if len(units) < 2 or not all(group.any() for group in groups):
        return None
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < resamples:
        clips = np.concatenate([units[unit] for unit in rng.integers(len(units), size=len(units))])
        parts = [clips[group[clips]] for group in groups]
        if all(len(part) for part in parts):
            one, other = (score(references[part], predictions[part]) for part in parts)
            drawn.append(one - other)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def sampling_units(num_clips: int, speakers: ArrayLike | None) -> list[np.ndarray]:
    """Clip indices of each unit to draw: one clip each, or all clips of a speaker.

    >>> sampling_units(3, ["a", "b", "a"])
    [array([0, 2]), array([1])]
    """
    if speakers is None:
        return list(np.arange(num_clips).reshape(-1, 1))
    speakers = np.asarray(speakers)
    if len(speakers) != num_clips:
        raise ValueError(f"{len(speakers)} speakers given for {num_clips} clips")
    return [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]


def _percentile_interval(
    score_of: Callable[[np.ndarray], float],
    num_units: int,
    resamples: int,
    seed: int,
    level: float,
) -> tuple[Interval, np.ndarray]:
    """Interval and the resampled scores of a function of drawn unit numbers."""
    result = stats.bootstrap(
        (np.arange(num_units),),
        score_of,
        n_resamples=resamples,
        vectorized=False,
        method="percentile",
        confidence_level=level,
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(float(low), float(high)), result.bootstrap_distribution

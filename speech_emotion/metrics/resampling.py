"""Bootstrap intervals, over clips or over whole speakers.

Clips of one speaker are correlated, so an interval over clips is too narrow; the one over speakers
draws whole speakers (a cluster bootstrap) and is the one to report.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from speech_emotion.metrics.classification import OF_COUNTS, Counts

RESAMPLES = 2000
SEED = 42
LEVEL = 0.95

AT_ONCE = 4_000_000
"""Drawn units, of several draws together, that are scored at once."""

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
            ``score`` accepts. Of WA, UA and macro-F1 with (num_clips, n) the mean over the n.
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
    score_of = scores_of_draws(score, units, references, predictions)
    return percentile_interval(score_of, len(units), resamples, seed, level)[0]


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
    parts = [[unit[group[unit]] for unit in units] for group in groups]
    sizes = np.array([[len(clips) for clips in part] for part in parts])
    scores = [scores_of_draws(score, part, references, predictions) for part in parts]
    rng = np.random.default_rng(seed)
    gaps = np.zeros(0)
    while len(gaps) < resamples:
        drawn = rng.integers(len(units), size=(resamples, len(units)))
        drawn = drawn[(sizes[:, drawn].sum(axis=-1) > 0).all(axis=0)]
        gaps = np.concatenate([gaps, scores[0](drawn) - scores[1](drawn)])
    low, high = np.quantile(gaps[:resamples], [(1 - level) / 2, (1 + level) / 2])
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


def scores_of_draws(
    score: Score, units: Sequence[np.ndarray], references: np.ndarray, predictions: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from draws, int (num_draws, num_drawn) of unit numbers, to scores (num_draws,).

    Args:
        score: as in :func:`bootstrap_interval`. One of :data:`OF_COUNTS` takes far less time.
        units: of each the places of its clips.
        references, predictions: as in :func:`bootstrap_interval`.
    """
    of_counts = OF_COUNTS.get(score)
    if of_counts is None or not len(references):

        def one_by_one(drawn: np.ndarray) -> np.ndarray:
            draws = (np.concatenate([units[unit] for unit in row]) for row in drawn)
            return np.array([score(references[clips], predictions[clips]) for clips in draws])

        return one_by_one
    if predictions.ndim == 2:
        columns = [scores_of_draws(score, units, references, column) for column in predictions.T]
        return lambda drawn: np.mean([score_of(drawn) for score_of in columns], axis=0)
    number = int(references.max()) + 1
    table = np.array([Counts.of(references[u], predictions[u], number) for u in units], dtype=float)

    def together(drawn: np.ndarray) -> np.ndarray:
        rows = np.arange(len(drawn))[:, None] * len(units)
        times = np.bincount((rows + drawn).ravel(), minlength=len(drawn) * len(units))
        sums = np.tensordot(times.reshape(len(drawn), len(units)).astype(float), table, 1)
        return of_counts(Counts(*np.moveaxis(sums, 1, 0)))

    return together


def percentile_interval(
    score_of: Callable[[np.ndarray], np.ndarray],
    num_units: int,
    resamples: int,
    seed: int,
    level: float,
) -> tuple[Interval, np.ndarray]:
    """Interval and the scores of the draws, by a function as :func:`scores_of_draws` returns it."""
    result = stats.bootstrap(
        (np.arange(num_units),),
        lambda drawn, axis: score_of(drawn),
        n_resamples=resamples,
        batch=max(1, AT_ONCE // num_units),
        vectorized=True,
        axis=-1,
        method="percentile",
        confidence_level=level,
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return Interval(float(low), float(high)), result.bootstrap_distribution

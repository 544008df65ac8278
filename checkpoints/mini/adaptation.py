"""Fitting a model to a voice or a microphone, from recordings without labels.

A new voice, room or microphone moves the logits of all its clips by about the same amount, and
with them the answers. What a clip of each emotion gets on average is known from labelled clips; so
is, roughly, how many clips of each emotion the new recordings hold. What is left of their mean is
the shift, which the pipeline takes off again.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import softmax

DOUBT = 3
"""Clips that it takes to believe half of what they say."""


def emotion_means(references: ArrayLike, logits: ArrayLike) -> list[list[float]] | None:
    """Average logits over the clips of each emotion.

    Args:
        references: int (num_clips,), the true class ids.
        logits: float (num_clips, num_classes), from the audio alone.

    Returns:
        (num_classes, num_classes), a row for each true class; ``None`` when a class has no clip.

    >>> emotion_means([0, 0, 1], [[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    [[3.0, 0.0], [0.0, 1.0]]
    >>> emotion_means([0], [[2.0, 0.0]]) is None
    True
    """
    references, logits = np.asarray(references), np.asarray(logits, dtype=float)
    classes = range(logits.shape[1])
    if not set(classes) <= set(references.tolist()):
        return None
    return [logits[references == index].mean(axis=0).tolist() for index in classes]


def fit_shift(logits: ArrayLike, means: Sequence[Sequence[float]]) -> list[float]:
    """Find what the recordings of one source add to their logits.

    Half of the distance between their mean and that of all emotions is taken off. How many clips of
    each emotion they hold is then read off the probabilities, with one more clip of each for
    safety, and the mean that such a mixture should have is compared with theirs. Of the difference
    ``n / (n + DOUBT)`` is believed. So recordings with more of one emotion are not mistaken for a
    voice that makes everything sound like it, as long as some of them are recognised.

    Args:
        logits: float (num_clips, num_classes), from the audio alone.
        means: of :func:`emotion_means`.

    Returns:
        (num_classes,), to be subtracted; the sum is 0.

    >>> means = [[2.0, 0.0], [0.0, 2.0]]
    >>> [round(value, 1) for value in fit_shift([[3.0, 0.0], [1.0, 2.0]] * 50, means)]
    [0.4, -0.4]
    """
    logits, expected = np.asarray(logits, dtype=float), np.asarray(means, dtype=float)
    clips, classes = logits.shape
    mean = logits.mean(axis=0)
    half = (mean - expected.mean(axis=0)) / 2
    shares = (softmax(logits - half, axis=1).sum(axis=0) + 1) / (clips + classes)
    shift = clips / (clips + DOUBT) * (mean - shares @ expected)
    return (shift - shift.mean()).tolist()

"""Fitting after training: a temperature from labelled clips, a logit bias from unlabelled ones.

A new voice, room or microphone adds about the same offset to the logits of all its clips. The mean
logits of each class are known from labelled clips; the share of each class in the new recordings is
estimated from their probabilities. The difference between the mean that follows from both and the
mean of the new recordings is the logit bias.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .audio import AudioError
from .inputs import Clip, as_list, check_texts, each, is_one_clip
from .recordings import Recorded
from .results import Options
from .timeline import WINDOW_S

logger = logging.getLogger(__name__)

LOWEST, HIGHEST = 0.05, 20.0
"""Range of the temperature."""

PRIOR = 0.25
"""Standard deviation of the logarithm of the temperature before any clip is seen. Networks that are
trained until they fit have temperatures of 1 to 2 (Guo et al., 2017, Table 1)."""

DOUBT = 3
"""Number of clips at which half of the estimated logit bias is used."""


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
    from scipy.special import log_softmax  # slow to import, and rarely needed

    references, logits = np.asarray(references), np.asarray(logits, dtype=float)
    chances = log_softmax(logits / temperature, axis=1)
    return float(-chances[np.arange(len(references)), references].mean())


def fit_temperature(references: ArrayLike, logits: ArrayLike) -> float:
    """Find the number that logits are divided by so that their posterior probability is highest.

    The answers stay the same, only their confidence changes (Guo et al., 2017). Fit it on clips
    that the model did not learn from. The prior is log-normal around 1, see :data:`PRIOR`: it
    decides when there are few clips, and matters less the more there are.

    Args:
        references: int (num_clips,), the true class ids.
        logits: float (num_clips, num_classes).

    Returns:
        between 0.05 and 20; above 1 for a model that is too sure of itself.

    >>> logits = [[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]
    >>> round(fit_temperature([0, 0, 1], logits), 2)
    1.07
    >>> round(fit_temperature([0, 0, 1] * 1000, logits * 1000), 2)
    2.75
    """
    from scipy.optimize import minimize_scalar

    clips = len(np.asarray(references))

    def loss(log_temperature: float) -> float:
        fit = negative_log_likelihood(references, logits, temperature=math.exp(log_temperature))
        return fit + log_temperature**2 / (2 * PRIOR**2 * clips)

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    return float(math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def class_mean_logits(
    references: ArrayLike, logits: ArrayLike, *, weights: ArrayLike | None = None
) -> list[list[float]] | None:
    """Average logits over the clips of each emotion.

    Args:
        references: int (num_clips,), the true class ids.
        logits: float (num_clips, num_classes), audio-only.
        weights: positive (num_clips,), of the clips; equal when not given.

    Returns:
        (num_classes, num_classes), a row for each true class; ``None`` when a class has no clip.

    >>> class_mean_logits([0, 0, 1], [[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    [[3.0, 0.0], [0.0, 1.0]]
    >>> class_mean_logits([0], [[2.0, 0.0]]) is None
    True
    """
    references, logits = np.asarray(references), np.asarray(logits, dtype=float)
    classes = range(logits.shape[1])
    if not set(classes) <= set(references.tolist()):
        return None
    weights = np.ones(len(references)) if weights is None else np.asarray(weights, dtype=float)
    members = [references == index for index in classes]
    return [np.average(logits[own], axis=0, weights=weights[own]).tolist() for own in members]


def fit_logit_bias(logits: ArrayLike, means: Sequence[Sequence[float]]) -> list[float]:
    """Estimate the bias that removes the offset of one source from its logits.

    Half of the distance between their mean and that of all emotions is taken off. How many clips of
    each emotion they hold is then read off the probabilities, with one more clip of each for
    safety, and the mean that such a mixture should have is compared with theirs. Of the difference
    ``n / (n + DOUBT)`` is believed. So recordings with more of one emotion are not mistaken for a
    voice that makes everything sound like it, as long as some of them are recognised.

    Args:
        logits: float (num_clips, num_classes), audio-only.
        means: of :func:`class_mean_logits`.

    Returns:
        (num_classes,), to be added to the logits; the sum is 0.

    >>> means = [[2.0, 0.0], [0.0, 2.0]]
    >>> [round(value, 1) for value in fit_logit_bias([[3.0, 0.0], [1.0, 2.0]] * 50, means)]
    [-0.4, 0.4]
    """
    from scipy.special import softmax

    logits, expected = np.asarray(logits, dtype=float), np.asarray(means, dtype=float)
    clips, classes = logits.shape
    mean = logits.mean(axis=0)
    half = (mean - expected.mean(axis=0)) / 2
    shares = (softmax(logits - half, axis=1).sum(axis=0) + 1) / (clips + classes)
    bias = clips / (clips + DOUBT) * (shares @ expected - mean)
    return (bias - bias.mean()).tolist()


class Fitting:
    """The part of a pipeline that fits its model's config to recordings."""

    model: Any
    _clips: Callable[..., Iterator[Clip]]
    _windows: Callable[..., Recorded]
    _sizes: Callable[..., tuple[int, int | str]]

    def calibrate(
        self,
        clips: Any,
        labels: Sequence[str | int],
        *,
        text: Sequence[str | None] | None = None,
        clean: bool = True,
        batch_size: int | None = None,
        num_workers: int | str | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> float:
        """Fit the temperature on clips that the model did not learn from.

        It is put into the model's config, from where :meth:`save_pretrained` writes it. The order
        of the emotions does not change, only the confidence. With few clips a prior draws the
        temperature towards 1. With clips of every emotion, the class-mean logits are set as well,
        for :meth:`adapt`; otherwise they stay as they are. Clips that cannot be used are left out.

        Args:
            clips: a list or data set of clips, as in a call.
            labels: the true emotion of each, by name or id.
            text, clean, batch_size, num_workers: as in a call.
            on_error: called with the line that says why a clip was left out; when not given, it
                is logged as a warning.

        Returns:
            the temperature.

        Raises:
            ValueError: an unknown label, another number of labels than of clips, or no clip that
                can be used.
        """
        clips = as_list(clips)
        if is_one_clip(clips):
            raise ValueError("calibrate needs a list or data set of clips, and was given one clip")
        ids = [self._label_id(label) for label in labels]
        if hasattr(clips, "__len__") and len(clips) != len(ids):
            raise ValueError(f"{len(ids)} labels for {len(clips)} clips")
        check_texts(text, clips)
        batch_size, workers = self._sizes(batch_size, num_workers)
        asked = Options(clean=clean, check_speech=False)
        answered = self._clips(
            clips, text, asked, 4 * batch_size, batch_size, workers, separate=("audio",)
        )
        pairs = list(zip(answered, ids, strict=True))
        for clip, _ in pairs:
            if clip.error is not None:
                (on_error or logger.warning)(clip.error)
        usable = [(clip.logits, label) for clip, label in pairs if clip.error is None]
        if not usable:
            raise ValueError("no clip can be used for calibration")
        ids = [label for _, label in usable]
        fused, audio = (
            np.stack([logits[name] for logits, _ in usable]) for name in ("fused", "audio")
        )
        config = self.model.config
        config.temperature = fit_temperature(ids, fused)
        means = class_mean_logits(ids, audio - self._bias(config.logit_bias))
        if means is not None:
            config.class_mean_logits = means
        return config.temperature

    def adapt(
        self,
        recordings: Any,
        *,
        clean: bool = True,
        batch_size: int | None = None,
        num_workers: int | str | None = None,
        on_error: Callable[[str], None] | None = None,
    ) -> dict[str, float]:
        """Fit the model to the recordings of one voice, room or microphone; no label is needed.

        The logit bias that removes their common offset is put into the model's config; see
        :func:`~hub_model.calibration.fit_logit_bias`. A longer recording counts as several clips.
        Recordings that cannot be used are left out.

        Args:
            recordings: one, or a list, generator or data set of them, as in a call. Ten clips of
                several emotions are enough for most of the gain.
            clean, batch_size, num_workers: as in a call.
            on_error: called with the line that says why a recording was left out; when not given,
                it is logged as a warning.

        Returns:
            the logit bias of each emotion.

        Raises:
            ValueError: the model was never calibrated with clips of every emotion, or there is no
                speech in any of the recordings.
        """
        config = self.model.config
        if config.class_mean_logits is None:
            raise ValueError(
                "the model's config has no class_mean_logits; calibrate it first, "
                "with clips of every emotion"
            )
        batch_size, workers = self._sizes(batch_size, num_workers)
        asked = Options(clean=clean, return_segments=True, hop_s=WINDOW_S)
        found = []
        recordings = as_list(recordings)
        for source in [recordings] if is_one_clip(recordings) else each(recordings):
            try:
                recorded = self._windows(source, "", asked, batch_size, workers)
            except AudioError as error:
                (on_error or logger.warning)(str(error))
                continue
            clips = [window.clip for window in recorded.windows if window.clip is not None]
            found += [clip.logits["fused"] for clip in clips if clip.error is None]
        if not found:
            raise ValueError("no recording can be used: there is no speech in any")
        config.logit_bias = fit_logit_bias(
            np.stack(found) - self._bias(config.logit_bias), config.class_mean_logits
        )
        return {config.id2label[index]: value for index, value in enumerate(config.logit_bias)}

    def _bias(self, bias: list[float] | None) -> np.ndarray:
        return np.array(bias or [0.0] * self.model.config.num_labels, dtype=np.float32)

    def _label_id(self, label: str | int) -> int:
        names = self.model.config.id2label
        known = {**{name: index for index, name in names.items()}, **{i: i for i in names}}
        if label not in known:
            raise ValueError(f"unknown emotion: {label}; known are {', '.join(names.values())}")
        return known[label]

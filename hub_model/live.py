"""A recording that is classified while it is made: each window as soon as it is complete."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import soxr

from .audio import SAMPLING_RATE, AudioError
from .decoding import BLOCK_S, as_samples, refuse_rate
from .inputs import Clip, Preparation
from .labels import Labels
from .recordings import window_of
from .results import Options, scores_of, table_with
from .timeline import Window, smoothed

OPTIONS = (
    *("window_s", "hop_s", "smoothing", "labels"),
    *("abstain_below", "dimensions", "clean", "check_speech"),
)
"""Options of a call that a live recording takes."""


class Live:
    """Takes a recording in chunks of any size, and gives its windows one by one.

    Made by ``classifier.live(sampling_rate=48_000)``. The windows are those of a call with
    ``return_segments=True``, ``text=""`` (audio only) and the same options, whatever the size of
    the chunks. What is held is less than two windows of audio, and the scores of as many windows
    as are averaged.

    ``window_s``, ``hop_s``, ``labels``, ``abstain_below``, ``dimensions``, ``clean`` and
    ``check_speech`` are as in a call. So is ``smoothing``, which is 1 when not given, as a window
    waits for the later ones that it is averaged with.

    Args:
        asked: of :func:`live_options`.
        sampling_rate: of the samples, in Hz.
        prepare: makes a clip of a window.
        score: sets the logits of a clip.
        labels: of the model.
        temperature: of the model.

    Attributes:
        sampling_rate: of the samples, in Hz.
        seconds: length of what was taken.

    Raises:
        AudioError: a sampling rate that cannot be meant.
    """

    def __init__(
        self,
        asked: Options,
        *,
        sampling_rate: float,
        prepare: Preparation,
        score: Callable[[Clip], Any],
        labels: Labels,
        temperature: float,
    ) -> None:
        refuse_rate(sampling_rate, "audio")
        self.sampling_rate, self.seconds = sampling_rate, 0.0
        self._asked, self._prepare, self._score = asked, prepare, score
        self._labels, self._temperature = labels, temperature
        self._run = asked.timeline.run()
        self._resampler: soxr.ResampleStream | None = None
        if sampling_rate != SAMPLING_RATE:
            self._resampler = soxr.ResampleStream(
                sampling_rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ"
            )
        self._taken, self._ended = 0, False
        # The windows that are averaged: those before `_given` have been returned.
        self._windows: list[Window] = []
        self._scores: list[np.ndarray | None] = []
        self._given = 0

    def add(self, samples: Any) -> list[dict[str, Any]]:
        """Take the next samples; return the windows that are known by now.

        Args:
            samples: ``(num_samples,)`` or ``(num_samples, channels)``, whose mean is used; floats
                in -1..1, or integers of 8 to 32 bits, which are scaled by their full range.

        Returns:
            a row for each, as :func:`~hub_model.timeline.table_of` makes it. With smoothing, a
            window waits for those after it that it is averaged with.

        Raises:
            AudioError: the samples are no audio. They are left out, and the recording goes on.
            ValueError: the recording has ended.
        """
        if self._ended:
            raise ValueError("the recording has ended; start another one")
        waveform = _mono(samples)
        self._taken += waveform.size
        self.seconds = self._taken / self.sampling_rate
        step, rows = round(BLOCK_S * self.sampling_rate), []
        for start in range(0, waveform.size, step):
            block = waveform[start : start + step]
            rows += self._take(block if self._resampler is None else self._resample(block))
        return rows

    def finish(self) -> list[dict[str, Any]]:
        """End the recording; return the remaining windows, of which the last ends with it."""
        if self._ended:
            return []
        rows = [] if self._resampler is None else self._take(self._resample(None))
        self._ended = True
        for start, waveform in self._run.finish():
            self._classify(start, waveform)
        return rows + self._ready(last=True)

    def _resample(self, block: np.ndarray | None) -> np.ndarray:
        assert self._resampler is not None
        rest = np.zeros(0, dtype=np.float32) if block is None else block
        return self._resampler.resample_chunk(rest, last=block is None)

    def _take(self, block: np.ndarray) -> list[dict[str, Any]]:
        rows = []
        for start, waveform in self._run.add(block):
            self._classify(start, waveform)
            rows += self._ready()
        return rows

    def _classify(self, start: int, waveform: np.ndarray) -> None:
        window = window_of(self._prepare, start, waveform)
        scores = None
        if window.clip is not None:
            # One by one: the last digits of a result depend on the other clips of its batch.
            self._score(window.clip)
            scores = scores_of(window, self._temperature)
            window.clip = None
        self._windows.append(window)
        self._scores.append(scores)

    def _ready(self, *, last: bool = False) -> list[dict[str, Any]]:
        """The rows of the windows that no later one changes."""
        reach = self._asked.timeline.smoothing // 2
        known = len(self._scores) if last else max(0, len(self._scores) - reach)
        # A window without speech ends the run over which is averaged.
        silent = [place for place, scores in enumerate(self._scores) if scores is None]
        known = max([known, *(place + 1 for place in silent)])
        averaged = smoothed(self._scores, width=self._asked.timeline.smoothing)
        part = slice(self._given, known)
        rows = table_with(self._windows[part], averaged[part], self._asked, self._labels)
        drop = max(0, known - reach)
        self._windows, self._scores = self._windows[drop:], self._scores[drop:]
        self._given = known - drop
        return rows


def live_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Options:
    """The options of a live recording.

    Args:
        defaults: of the pipeline; those that are not about windows are left out.
        given: of the recording.

    Raises:
        TypeError: one that a live recording does not take.
        ValueError: a value outside its range.
    """
    if unknown := set(given) - set(OPTIONS):
        raise TypeError(f"not an option of live: {', '.join(sorted(unknown))}")
    before = {name: defaults[name] for name in OPTIONS if name in defaults}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Options(**{"smoothing": 1, **before, **chosen, "return_segments": True})


def _mono(samples: Any) -> np.ndarray:
    """Float32 ``(num_samples,)`` at the rate of the recording."""
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.dtype.kind in "iu" and array.dtype.itemsize > 4):
        raise AudioError(
            "audio: expected samples of shape (num_samples,) or (num_samples, channels), floats or "
            f"integers of 8 to 32 bits, got {array.dtype} {array.shape}"
        )
    waveform = as_samples(array.reshape(-1), "audio")
    if not np.isfinite(waveform).all():
        raise AudioError("audio: holds NaN or infinite samples")
    waveform = waveform[:, 0]
    return waveform if array.ndim == 1 else waveform.reshape(array.shape).mean(axis=1)

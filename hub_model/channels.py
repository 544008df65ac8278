"""Channels to mono: averaged, or one of them, and notes on what they are like."""

import numpy as np

CANCELLED = 0.2
"""The channels of a frame cancel each other when the power of their mean is below this share of
``1 / channels`` of their mean power; for independent channels it is ``1 / channels``."""

CANCELLED_SHARE = 0.1
"""Share of the energy of a block in frames that cancel, from which on one channel is used."""

ALONE = 10.0
"""A channel is alone where its power is more than so many times that of the other."""

TURNS_SHARE, LEAST_SHARE = 0.7, 0.002
"""Channels take turns where so much of the energy lies in frames of one alone, and at least so much
in those of each: one speaker may be 25 dB louder than the other, noise is fainter."""

TURNS_NOTE = (
    "its channels take turns, as in a call, but were mixed: the option speakers, set to channels, "
    "keeps them apart"
)

FRAME_S = 0.05


class Mixdown:
    """Turns the blocks of a recording, one after the other, into mono.

    Args:
        rate: in Hz.
        notes: lines on what is unusual are appended to it.
        channel: use this one, silenced where another one is far louder: there it holds only what
            leaks from that. Otherwise the channels are averaged, or, when they cancel each other,
            the loudest one is used from there on.
    """

    def __init__(self, rate: float, notes: list[str], channel: int | None = None) -> None:
        self._frame = max(1, round(FRAME_S * rate))
        self._notes = notes
        self._channel = channel
        self._given = channel is not None
        self._alone = np.zeros(3)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Mix float32 ``(num_samples, channels)`` to ``(num_samples,)``."""
        if block.shape[1] == 1 or not len(block):
            return block[:, 0]
        frames = np.arange(0, len(block), self._frame)
        power = np.add.reduceat(np.square(block, dtype=np.float64), frames)
        if self._given:
            return self._without_leaks(block[:, self._channel], power)
        mean = block.mean(axis=1)
        if block.shape[1] == 2:
            self._count_alone(power)
        if self._channel is None:
            lost = np.add.reduceat(np.square(mean), frames) < (
                CANCELLED / block.shape[1] * power.mean(axis=1)
            )
            if power[lost].sum() > CANCELLED_SHARE * power.sum():
                self._channel = int(power.sum(axis=0).argmax())
                self._notes.append("its channels cancel each other; the loudest one is used")
        return mean if self._channel is None else np.ascontiguousarray(block[:, self._channel])

    def finish(self) -> None:
        """Note, after the last block, that two channels took turns."""
        total = self._alone.sum()
        alone = self._alone[:2]
        if total > 0 and alone.sum() > TURNS_SHARE * total and alone.min() > LEAST_SHARE * total:
            self._notes.append(TURNS_NOTE)

    def _without_leaks(self, samples: np.ndarray, power: np.ndarray) -> np.ndarray:
        """Silence a channel where another is far louder, without clicks."""
        heard = power[:, self._channel] * ALONE >= power.max(axis=1)
        middles = (np.arange(len(heard)) + 0.5) * self._frame
        fading = np.interp(np.arange(len(samples)), middles, heard.astype(np.float32))
        whole = np.repeat(heard, self._frame)[: len(samples)]
        return np.where(whole, samples, samples * fading).astype(np.float32)

    def _count_alone(self, power: np.ndarray) -> None:
        """Add up the energy of the frames in which one channel is alone, and of the rest."""
        alone = power.max(axis=1) > ALONE * power.min(axis=1)
        for channel in (0, 1):
            self._alone[channel] += power[alone & (power.argmax(axis=1) == channel)].sum()
        self._alone[2] += power[~alone].sum()

"""Augmentation in training: the paper's four kinds (section III-A), and degraded recordings."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import soxr
from audiomentations import (
    AddColorNoise,
    AddGaussianSNR,
    BandPassFilter,
    ClippingDistortion,
    Compose,
    Gain,
    OneOf,
    PitchShift,
    SevenBandParametricEQ,
    TimeStretch,
)
from audiomentations.core.transforms_interface import BaseWaveformTransform
from scipy.signal import fftconvolve

from hub_model.audio import SAMPLING_RATE, Cleaning, clean_audio

MAX_SILENCE_S = 1.2
"""Longest silence before or after the speech of a :func:`poor_recorder`."""


def augmenter(chance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that applies time stretching, pitch shifting, gain and noise to a clip.

    Pitch is shifted by at most two semitones; more would sound like another speaker.

    Args:
        chance: probability of each of the four, independently.

    Returns:
        float32 ``(num_samples,)`` to float32 ``(other num_samples,)``, both at 16 kHz. Random
        numbers come from the global generators of ``random`` and numpy, which ``set_seed`` seeds.
    """
    return _as_function(
        [
            TimeStretch(0.85, 1.15, leave_length_unchanged=False, p=chance),
            PitchShift(-2, 2, p=chance),
            AddGaussianSNR(10, 35, p=chance),
            Gain(-8, 4, p=chance),
        ]
    )


def distorter(chance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that adds noise to a clip and equalises it; its length stays.

    Args:
        chance: probability of each of the two, independently.

    Returns:
        float32 ``(num_samples,)`` at 16 kHz to the same; random numbers as in
        :func:`augmenter`.
    """
    return _as_function(
        [AddGaussianSNR(5, 30, p=chance), SevenBandParametricEQ(-9, 9, p=chance)],
    )


def poor_recorder(
    chance: float, cleaning: Cleaning | None = None, *, in_place: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that degrades a clip as recordings in use are degraded, and cleans it.

    Each with a probability of its own: reverberation, noise of any colour from 0 to 30 dB,
    equalisation or band limits, clipping, another level. Silence is added before and after the
    speech, and the result is cleaned.

    Args:
        chance: probability that a clip is degraded.
        cleaning: that of the model; the default when not given.
        in_place: no silence is added or removed, and only half of the clips are denoised: every
            sample stays where it was.

    Returns:
        float32 ``(num_samples,)`` to float32 ``(other num_samples,)``, both at 16 kHz; random
        numbers as in :func:`augmenter`.
    """
    degrade = _as_function(_RECORDING)
    denoise = Cleaning(trim=False)

    def recorded(waveform: np.ndarray) -> np.ndarray:
        if random.random() >= chance:
            return waveform
        if in_place:
            waveform = degrade(waveform)
            return clean_audio(waveform, denoise) if random.random() < 0.5 else waveform
        ends = [round(random.uniform(0, MAX_SILENCE_S) * SAMPLING_RATE) for _ in range(2)]
        return clean_audio(degrade(np.pad(waveform, ends)), cleaning)

    return recorded


def at_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """Play a clip faster or slower; pitch and formants change with it, as with another speaker.

    Ko et al., "Audio augmentation for speech recognition" (Interspeech 2015), section 2.

    Args:
        waveform: float32 ``(num_samples,)`` at 16 kHz.
        speed: 1.1 makes it a tenth faster and higher.

    Returns:
        float32 ``(num_samples / speed,)`` at 16 kHz.
    """
    return soxr.resample(waveform, SAMPLING_RATE * speed, SAMPLING_RATE)


def training_changes(config: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return how a ``TrainConfig`` changes a training clip; ``None`` for nothing."""
    cleaning = Cleaning.from_dict(config.model.get("cleaning"))
    return _in_turn(
        augmenter(config.augment) if config.augment else None,
        poor_recorder(config.poor_recordings, cleaning) if config.poor_recordings else None,
    )


def student_changes(config: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return how a ``DistillConfig`` changes the input of the student; ``None`` for nothing."""
    return _in_turn(
        distorter(config.distort) if config.distort else None,
        poor_recorder(config.poor_recordings, in_place=True) if config.poor_recordings else None,
    )


def _in_turn(
    *changes: Callable[[np.ndarray], np.ndarray] | None,
) -> Callable[[np.ndarray], np.ndarray] | None:
    steps = [change for change in changes if change is not None]

    def changed(waveform: np.ndarray) -> np.ndarray:
        for step in steps:
            waveform = step(waveform)
        return waveform

    return changed if steps else None


class Room(BaseWaveformTransform):
    """Synthetic reverberation: decaying noise after the direct sound.

    Its RT60 is 0.2 to 1 s, its energy -12 to +3 dB of the direct sound.

    Args:
        p: probability that it is applied.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)

    def apply(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the reverberant clip, with the same peak and length as before."""
        decay_s, level_db = random.uniform(0.2, 1.0), random.uniform(-12, 3)
        time = np.arange(round(decay_s * sample_rate)) / sample_rate
        response = np.random.normal(size=time.size) * 10 ** (-3 * time / decay_s)
        response[: round(random.uniform(0.003, 0.02) * sample_rate)] = 0
        response *= 10 ** (level_db / 20) / np.linalg.norm(response)
        response[0] = 1.0
        wet = fftconvolve(samples, response)[: samples.size]
        level = np.abs(samples).max() / max(np.abs(wet).max(), 1e-9)
        return (wet * level).astype(np.float32)


_RECORDING = [
    Room(p=0.3),
    OneOf([AddGaussianSNR(0, 30, p=1.0), AddColorNoise(0, 30, -12, 3, p=1.0)], p=0.6),
    SevenBandParametricEQ(-9, 9, p=0.2),
    BandPassFilter(800, 1600, 1.2, 1.9, p=0.15),
    ClippingDistortion(0, 30, p=0.1),
    Gain(-20, 10, p=0.3),
]


def _as_function(transforms: list[Any]) -> Callable[[np.ndarray], np.ndarray]:
    chain = Compose(transforms)

    def changed(waveform: np.ndarray) -> np.ndarray:
        samples = np.clip(chain(waveform, SAMPLING_RATE), -1.0, 1.0)
        return np.ascontiguousarray(samples, dtype=np.float32)

    return changed

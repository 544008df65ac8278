"""Changes of the waveform while training (paper, section III-A, the four kinds)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from audiomentations import (
    AddGaussianSNR,
    Compose,
    Gain,
    PitchShift,
    SevenBandParametricEQ,
    TimeStretch,
)

from hub_model.audio import SAMPLING_RATE


def augmenter(chance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that stretches, shifts, scales and blurs a clip with noise.

    Pitch is moved by at most two semitones: more would change who seems to speak.

    Args:
        chance: of each of the four, independently.

    Returns:
        float32 ``(num_samples,)`` to float32 ``(other num_samples,)``, both at 16 kHz. Chance comes
        from the global generators of ``random`` and numpy, which ``set_seed`` seeds.
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
    """Return a function that adds noise to a clip and bends its spectrum; its length stays.

    Args:
        chance: of each of the two, independently.

    Returns:
        float32 ``(num_samples,)`` at 16 kHz to the same; chance as in :func:`augmenter`.
    """
    return _as_function(
        [AddGaussianSNR(5, 30, p=chance), SevenBandParametricEQ(-9, 9, p=chance)],
    )


def _as_function(transforms: list[Any]) -> Callable[[np.ndarray], np.ndarray]:
    chain = Compose(transforms)
    return lambda waveform: np.ascontiguousarray(chain(waveform, SAMPLING_RATE), dtype=np.float32)

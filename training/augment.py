"""Changes of the waveform while training (paper, section III-A, the four kinds)."""

from collections.abc import Callable

import numpy as np
from audiomentations import AddGaussianSNR, Compose, Gain, PitchShift, TimeStretch

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
    chain = Compose(
        [
            TimeStretch(0.85, 1.15, leave_length_unchanged=False, p=chance),
            PitchShift(-2, 2, p=chance),
            AddGaussianSNR(10, 35, p=chance),
            Gain(-8, 4, p=chance),
        ]
    )
    return lambda waveform: np.ascontiguousarray(chain(waveform, SAMPLING_RATE), dtype=np.float32)

"""Clips made of tones and noise, and the files that hold them."""

import io
from typing import Any

import numpy as np
import soundfile

from hub_model.audio import SAMPLING_RATE


def tone(
    hertz: float = 440.0,
    seconds: float = 1.0,
    *,
    rate: int = SAMPLING_RATE,
    noise: float = 0.003,
    seed: int = 0,
) -> np.ndarray:
    """A tone that swells and fades, with a little noise: float32 ``(num_samples,)``."""
    time = np.arange(round(seconds * rate)) / rate
    swell = np.sin(np.pi * time / seconds)
    hiss = np.random.default_rng(seed).normal(0, noise, time.size)
    return (swell * (0.4 * np.sin(2 * np.pi * hertz * time) + hiss)).astype(np.float32)


def encode(waveform: np.ndarray, rate: int = SAMPLING_RATE, **how: Any) -> bytes:
    """The bytes of an audio file: WAV with 16-bit samples unless told otherwise."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, **{"format": "WAV", **how})
    return buffer.getvalue()


CLIPS = (tone(300, 0.7), tone(1200, 1.9, seed=1), tone(2500, 1.1, seed=2), tone(600, 0.4, seed=3))
"""Four clips of different lengths and pitches."""

TEXTS = ("kids are talking by the door", None, "leave me", "")
"""Their transcripts: two have none."""

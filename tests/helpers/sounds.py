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


def voice(seconds: float = 1.0, *, pitch: float = 140.0, seed: int = 0) -> np.ndarray:
    """Syllables of a gliding voice, which a detector takes for speech: ``(num_samples,)``."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    glide = pitch * (1 + 0.25 * np.sin(2 * np.pi * 1.3 * time + seed))
    phase = 2 * np.pi * np.cumsum(glide) / SAMPLING_RATE
    formant = 700 + 400 * np.sin(2 * np.pi * 2.1 * time + seed)
    harmonics = sum(
        np.exp(-(((k * glide - formant) / 500) ** 2)) * np.sin(k * phase) for k in range(1, 16)
    )
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time)
    return (0.2 * syllables * harmonics + rng.normal(0, 0.001, time.size)).astype(np.float32)


def noise(seconds: float = 1.0, *, slope: float = 0.0, seed: int = 0) -> np.ndarray:
    """White noise, pink with a slope of 1, brown with 2: ``(num_samples,)``."""
    size = round(seconds * SAMPLING_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=size))
    spectrum /= np.maximum(np.fft.rfftfreq(size, 1 / SAMPLING_RATE), 20) ** (slope / 2)
    waveform = np.fft.irfft(spectrum, size)
    return (0.3 * waveform / np.abs(waveform).max()).astype(np.float32)

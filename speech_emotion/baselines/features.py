"""The 94 hand-crafted features of a clip (paper, section III-B).

One short-time transform feeds them all; only the zero-crossing rate comes from the waveform. The
values equal those of librosa's functions with their default frame length (2048) and hop (512);
the tests compare them. Filter banks are computed once instead of for every clip.
"""

from functools import lru_cache

import librosa
import numpy as np
from scipy.fft import dct
from threadpoolctl import threadpool_limits

from hub_model.audio import SAMPLING_RATE

FEATURE_VERSION = 1
"""Increased whenever a value changes; stored features and models of other versions are refused."""

N_FFT, HOP = 2048, 512
NUM_CHROMA, NUM_MEL, NUM_MFCC = 12, 60, 20
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

FEATURE_NAMES = (
    *(f"chroma_{name}" for name in PITCH_CLASSES),
    *(f"mel_{number:02d}" for number in range(1, NUM_MEL + 1)),
    *(f"mfcc_{number:02d}" for number in range(1, NUM_MFCC + 1)),
    "zero_crossing_rate",
    "spectral_centroid",
)
"""94 names, in the order of the values. The rate is a share of samples, the centroid in Hz."""

CHROMA = slice(0, NUM_CHROMA)
MEL = slice(CHROMA.stop, CHROMA.stop + NUM_MEL)
MFCC = slice(MEL.stop, MEL.stop + NUM_MFCC)
ZERO_CROSSING_RATE, SPECTRAL_CENTROID = MFCC.stop, MFCC.stop + 1

_MFCC_MELS = 128
_MIN_POWER = 1e-10
_TOP_DB = 80.0
_PITCH_FLOOR, _PITCH_CEILING = 150.0, 4000.0
_TUNINGS = np.linspace(-0.5, 0.5, 101)
"""Bounds of the 100 classes, each a hundredth of a semitone, in which tuning is counted."""


one_thread = threadpool_limits.wrap(limits=1)
"""Decorator: the sums in a product of matrices depend on the number of threads, and so would what
is fitted to them (an MLP differs after a few steps)."""


def clip_features(waveform: np.ndarray) -> np.ndarray:
    """The 94 values of a clip, each the mean over its frames.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.

    Returns:
        float32 (94,), in the order of :data:`FEATURE_NAMES`.
    """
    return frame_features(waveform).mean(axis=0, dtype=np.float64).astype(np.float32)


def frame_features(waveform: np.ndarray) -> np.ndarray:
    """The 94 values of every frame of 2048 samples, one frame every 512.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.

    Returns:
        float32 (1 + num_samples // 512, 94).
    """
    # librosa lays a transform out frame by frame, so its transpose needs no copy.
    magnitude = np.abs(librosa.stft(_at_least_a_frame(waveform), n_fft=N_FFT, hop_length=HOP).T)
    magnitude = magnitude[: 1 + waveform.size // HOP]
    power = np.square(magnitude)
    mels = power @ _mel_banks()
    values = np.empty((len(power), len(FEATURE_NAMES)), dtype=np.float32)
    values[:, CHROMA] = _chroma(power)
    values[:, MEL] = mels[:, :NUM_MEL]
    values[:, MFCC] = _mfcc(mels[:, NUM_MEL:])
    values[:, ZERO_CROSSING_RATE] = _zero_crossing_rate(waveform)
    values[:, SPECTRAL_CENTROID] = _centroid(magnitude)
    return values


def mfcc_means(waveform: np.ndarray) -> np.ndarray:
    """The 20 Mel-frequency cepstral coefficients alone, each the mean over frames.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.

    Returns:
        float32 (20,).
    """
    return clip_features(waveform)[MFCC]


def _at_least_a_frame(waveform: np.ndarray) -> np.ndarray:
    """Pad a short clip with zeros, as the transform does; librosa warns otherwise."""
    return np.pad(waveform, (0, max(0, N_FFT - waveform.size)))


@lru_cache
def _mel_banks() -> np.ndarray:
    """Filters of the 60 mel bands and of the 128 behind the MFCCs: float32 (1025, 188)."""
    banks = [
        librosa.filters.mel(sr=SAMPLING_RATE, n_fft=N_FFT, n_mels=count)
        for count in (NUM_MEL, _MFCC_MELS)
    ]
    return np.ascontiguousarray(np.concatenate(banks).T)


def _mfcc(mels: np.ndarray) -> np.ndarray:
    decibels = 10.0 * np.log10(np.maximum(mels, _MIN_POWER))
    np.maximum(decibels, decibels.max() - _TOP_DB, out=decibels)
    return dct(decibels, axis=1, norm="ortho", overwrite_x=True)[:, :NUM_MFCC]


def _centroid(magnitude: np.ndarray) -> np.ndarray:
    sums = magnitude @ _frequencies_and_ones()
    total = sums[:, 1]
    total[total < np.finfo(np.float32).tiny] = 1.0
    return sums[:, 0] / total


@lru_cache
def _frequencies_and_ones() -> np.ndarray:
    frequencies = librosa.fft_frequencies(sr=SAMPLING_RATE, n_fft=N_FFT)
    return np.stack([frequencies, np.ones_like(frequencies)], axis=1).astype(np.float32)


def _zero_crossing_rate(waveform: np.ndarray) -> np.ndarray:
    """Share of sign changes inside each frame, the clip padded by half a frame at both ends."""
    negative = waveform < -_MIN_POWER
    half = N_FFT // 2
    # changes[i]: crossings up to sample i of the padded clip; the padding adds none.
    changes = np.zeros(waveform.size + N_FFT, dtype=np.int32)
    np.cumsum(negative[1:] != negative[:-1], out=changes[half + 1 : half + waveform.size])
    changes[half + waveform.size :] = changes[half + waveform.size - 1]
    starts = np.arange(0, waveform.size + 1, HOP)
    return (changes[starts + N_FFT - 1] - changes[starts]) / N_FFT


def _chroma(power: np.ndarray) -> np.ndarray:
    raw = power @ _chroma_bank(_tuning(power))
    loudest = raw.max(axis=1, keepdims=True)
    loudest[loudest < np.finfo(np.float32).tiny] = 1.0
    return raw / loudest


@lru_cache(maxsize=len(_TUNINGS))
def _chroma_bank(tuning: float) -> np.ndarray:
    """Filters of the 12 pitch classes: float32 (1025, 12). There are 100 tunings in all."""
    return librosa.filters.chroma(sr=SAMPLING_RATE, n_fft=N_FFT, tuning=tuning).T.copy()


def _tuning(power: np.ndarray) -> float:
    """Deviation of the clip's pitches from the tempered scale, in semitones.

    Equals `librosa.estimate_tuning(S=power)`, but the parabolic interpolation is computed at the
    peaks only.
    """
    frequencies = librosa.fft_frequencies(sr=SAMPLING_RATE, n_fft=N_FFT)
    first, last = np.searchsorted(frequencies, (_PITCH_FLOOR, _PITCH_CEILING))
    middle = power[:, first:last]
    left, right = power[:, first - 1 : last - 1], power[:, first + 1 : last + 1]
    threshold = 0.1 * power.max(axis=1, keepdims=True)
    peaks = np.nonzero((middle > threshold) & (middle > left) & (middle >= right))
    low, top, high = left[peaks], middle[peaks], right[peaks]
    curvature, slope = low + high - 2 * top, (high - low) / 2
    refined = np.abs(slope) < np.abs(curvature)
    shift = np.divide(-slope, curvature, out=np.zeros_like(top), where=refined)
    pitches = (peaks[1] + first + shift) * SAMPLING_RATE / N_FFT
    heights = top + 0.5 * slope * shift
    if not pitches.size:
        return 0.0
    pitches = pitches[heights >= np.median(heights)]
    residual = np.mod(NUM_CHROMA * librosa.hz_to_octs(pitches), 1.0)
    residual[residual >= 0.5] -= 1.0
    return float(_TUNINGS[np.argmax(np.histogram(residual, _TUNINGS)[0])])

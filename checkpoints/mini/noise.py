"""Noise reduction by non-stationary spectral gating: that of noisereduce, several times as fast.

Sainburg et al. (2020), "Finding, visualizing, and quantifying latent structure across diverse
animal vocal repertoires". Constants and results are those of ``reduce_noise(stationary=False)`` of
noisereduce 3.0, which transforms in double precision, copies, and pads every clip with 4 s of
silence.
"""

import math

import numpy as np

from .decoding import SAMPLING_RATE

FFT, HOP = 1024, 256
"""Length and step in samples of a frame."""

QUARTERS = FFT // HOP

AT_ONCE = 64
"""Frames that are transformed together, so that they stay in the processor's cache."""

PIECE, MARGIN = 600_000, 30_000
"""Samples of a long clip that are treated at once, and those that are heard on either side."""

TIME_CONSTANT_S = 2.0
"""Of the mean over time of each band, which stands for the noise."""

SLOPE, HALF = 10.0, 3.0
"""Of the sigmoid by which a band is let through: a half where it is three times the mean."""

SMOOTH_HZ, SMOOTH_MS = 500, 50
"""Half widths of the triangles over which the mask is averaged."""

_WINDOW = np.hanning(FFT + 1)[:-1]
_BACK = (_WINDOW * HOP / np.square(_WINDOW).sum()).astype(np.float32)


def _decay() -> float:
    frames = TIME_CONSTANT_S * SAMPLING_RATE / HOP
    return 1 - (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)


DECAY = _decay()
"""Share of the mean that is kept from one frame to the next."""


def reduce_noise(waveform: np.ndarray, strength: float) -> np.ndarray:
    """Reduce what is about as loud as its mean over some seconds.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
        strength: share of the estimated noise that is removed, 0 to 1.

    Returns:
        float32 ``(num_samples,)``; not finite where a band is silent throughout.
    """
    reduced = np.empty(waveform.size, dtype=np.float32)
    whole = waveform.size <= PIECE
    for start in range(0, waveform.size, PIECE):
        end = min(start + PIECE, waveform.size)
        first, last = max(0, start - MARGIN), min(waveform.size, end + MARGIN)
        # A piece is heard with its margins, and the last of several at its full length.
        after = (end if whole else start + PIECE) + MARGIN - last
        gated = _gated(waveform[first:last], MARGIN - (start - first), after)
        reduced[start:end] = gated[start - first : end - first]
    reduced *= np.float32(strength)
    reduced += np.float32(1 - strength) * waveform
    return reduced


def _gated(samples: np.ndarray, before: int, after: int) -> np.ndarray:
    """Gate samples that have so many zeros before and after them.

    Frames of zeros only are not transformed: what they do to the mean over time is known.
    """
    # Frame i of the whole reads from i * HOP - FFT / 2 on.
    silent = max(0, (before - FFT // 2) // HOP + 1) if before else 0
    total = (before + samples.size + after) // HOP + 1
    count = min(total, (before + samples.size + FFT // 2 - 1) // HOP + 1) - silent
    offset = before + FFT // 2 - silent * HOP
    padded = np.zeros((count - 1) * HOP + FFT)
    part = samples[: padded.size - offset]
    padded[offset : offset + part.size] = part
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    spectra = np.empty((count, FFT // 2 + 1), dtype=np.complex64)
    for at in range(0, count, AT_ONCE):
        spectra[at : at + AT_ONCE] = np.fft.rfft(frames[at : at + AT_ONCE] * _WINDOW, axis=1)
    spectra *= _mask(np.abs(spectra), silent, total - silent - count)
    # Frames overlap four times: their quarters are added, one after the other.
    summed = np.zeros((count + QUARTERS - 1, HOP), dtype=np.float32)
    for at in range(0, count, AT_ONCE):
        gated = np.fft.irfft(spectra[at : at + AT_ONCE], axis=1) * _BACK
        quarters = gated.reshape(-1, QUARTERS, HOP)
        for place in range(QUARTERS):
            summed[at + place : at + place + len(quarters)] += quarters[:, place]
    return summed.reshape(-1)[offset : offset + samples.size]


def _mask(level: np.ndarray, before: int, after: int) -> np.ndarray:
    """What of each band is let through: ``(frames, bands)`` of levels of that shape.

    Args:
        before, after: silent frames, in which nearly nothing is let through.
    """
    mean = _mean_over_time(level, before, after)
    mask = level / mean
    mask -= HALF
    mask *= -SLOPE
    np.exp(mask, out=mask)
    mask += 1
    np.reciprocal(mask, out=mask)
    # Two moving averages make a triangle.
    wide = SMOOTH_HZ * FFT // (2 * SAMPLING_RATE) + 1
    long = SMOOTH_MS * SAMPLING_RATE // (HOP * 1000) + 1
    mask = np.pad(mask, ((long - 1, long - 1), (wide - 1, wide - 1)))
    for axis, width in ((0, long), (1, wide)):
        mask = _moving_sum(_moving_sum(mask, width, axis), width, axis)
    mask /= (long * wide) ** 2
    return mask


def _mean_over_time(level: np.ndarray, before: int, after: int) -> np.ndarray:
    """Average forwards and then backwards, as ``scipy.signal.filtfilt`` without padding."""
    gain = np.float32(1 - DECAY)
    mean = level * gain
    mean[0] += np.float32(DECAY) * (0 if before else level[0])
    carried = np.empty_like(level[0])
    for now, last in zip(mean[1:], mean[:-1], strict=True):
        now += np.multiply(last, np.float32(DECAY), out=carried)
    # In the silence after the last frame the mean decays; this is what comes back from there.
    back = 1.0
    if after:
        fading = DECAY ** (2 * after - 1)
        back = (1 - DECAY) * (DECAY - fading) / (1 - DECAY**2) + fading
    following = mean[-1] * np.float32(back)
    mean *= gain
    for now in mean[::-1]:
        now += np.multiply(following, np.float32(DECAY), out=carried)
        following = now
    return mean


def _moving_sum(values: np.ndarray, width: int, axis: int) -> np.ndarray:
    """Sum so many neighbours; the result is shorter by ``width - 1``."""
    values = np.moveaxis(values, axis, 0)
    length, have, place = len(values) - width + 1, 1, 0
    parts = []
    while width:  # by sums of 1, 2, 4, 8 ... of them
        if width & 1:
            parts.append(values[place : place + length])
            place += have
        width >>= 1
        if width:
            values = values[:-have] + values[have:]
            have *= 2
    return np.moveaxis(sum(parts[1:], parts[0]), 0, axis)

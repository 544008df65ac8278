"""Levels: how loud a clip and its frames are, whatever its gain, offset or a knock in it."""

import numpy as np

FRAME, HOP = 512, 128
"""Length and step in samples of the frames whose level is measured: 32 ms and 8 ms."""

LOUDEST = 12
"""Frames of 8 ms that are left out when the level of a clip is measured: a knock on the microphone
is shorter, and louder than the voice."""

OFFSET_SHARE = 0.02
"""Share of the deviation of a clip from which on an offset is removed; that of recordings of
studios is below a hundredth."""

KNOCK_DB = 20.0
"""The loudest frames are a knock when they exceed the others by so much. In speech, vowels last."""

CREST = 4.0
"""Peak of a waveform, over its root mean square in the loudest frame of speech, at most."""

QUIET_VARIANCE = 1e-5
"""Variance (-50 dBFS) to which quieter waveforms are scaled; wav2vec 2.0's feature extractor adds
1e-7 to it."""


def audible(waveform: np.ndarray) -> np.ndarray:
    """Scale a quiet waveform up: feature extractors add constants that would drown it."""
    variance = float(np.var(waveform))
    if not 0 < variance < QUIET_VARIANCE:
        return waveform
    return (waveform * np.sqrt(QUIET_VARIANCE / variance)).astype(np.float32)


def loud_segments(waveform: np.ndarray, trim_db: float) -> np.ndarray:
    """Find what is louder than ``trim_db`` below the loudest frame.

    The segments are those of ``librosa.effects.split`` with frames of 512 samples every 128. The
    import of librosa takes longer than everything else that a single clip needs, so it is the
    reference in the tests instead.

    Args:
        waveform: float32 ``(num_samples,)``.
        trim_db: positive, in dB.

    Returns:
        int ``(segments, 2)``: first sample, and the sample after the last.
    """
    power = frame_power(waveform)
    loud = power > peak_power(power) * 10 ** (-trim_db / 10)
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False))
    return np.minimum(edges * HOP, waveform.size).reshape(-1, 2)


def frame_power(waveform: np.ndarray) -> np.ndarray:
    """Mean square of every frame, without the clip's offset: ``(frames,)``."""
    padded = np.pad(without_offset(waveform), FRAME // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    return np.mean(np.square(frames), axis=1)


def _offset(waveform: np.ndarray) -> np.float32:
    """The constant that was added to a clip: the median over its frames of their means."""
    whole = waveform[: waveform.size // FRAME * FRAME]
    return np.median(whole.reshape(-1, FRAME).mean(axis=1)) if whole.size else waveform.mean()


def peak_power(power: np.ndarray) -> float:
    """Power of the loudest frame; of the loudest one that is no knock, where there is one.

    Args:
        power: of every frame, ``(frames,)``.
    """
    peak = float(power.max(initial=0.0))
    if power.size <= 3 * LOUDEST:
        return peak
    steady = float(np.partition(power, -LOUDEST - 1)[-LOUDEST - 1])
    return steady if 0 < steady < peak * 10 ** (-KNOCK_DB / 10) else peak


def without_offset(waveform: np.ndarray) -> np.ndarray:
    """Remove a constant that is large enough to disturb the reduction of noise."""
    offset = _offset(waveform)
    return waveform - offset if abs(offset) > OFFSET_SHARE * waveform.std() else waveform


def without_knocks(waveform: np.ndarray) -> np.ndarray:
    """Limit what is so much louder than the rest that it is no speech."""
    power = frame_power(waveform)
    peak = peak_power(power)
    if peak == power.max(initial=0.0):
        return waveform
    offset, limit = _offset(waveform), CREST * np.sqrt(peak)
    return np.clip(waveform, offset - limit, offset + limit)

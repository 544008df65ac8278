"""Which parts of a recording hold speech: a small voice-activity detector.

It looks for voiced sounds, which every utterance has: they repeat with the period of the voice
(2 to 14 ms), and unlike a hum or a beep they change within a third of a second. Noise, clicks and
silence do not repeat. Only shapes of spectra are compared, so the level of a recording does not
matter. Whispered speech has no voice and is not found.
"""

from collections.abc import Iterator

import numpy as np

from .decoding import SAMPLING_RATE
from .levels import frame_power, peak_power

FRAME, HOP = 512, 256
"""Length and step of a frame in samples: 32 ms and 16 ms."""

PERIODS = slice(32, 229)
"""Lags in samples at which a voice repeats: 70 to 500 Hz."""

BAND = slice(10, 128)
"""Bins (of 15.6 Hz) that are looked at, 150 to 2000 Hz: where a voice has clear harmonics."""

TONE_BAND = slice(10, 448)
"""Bins in which tones are looked for, 150 to 7000 Hz."""

SMOOTH = 32
"""Bins to either side over which the spectrum is flattened; more than two harmonics."""

VOICED = 0.4
"""Least autocorrelation of a voice; noise of any colour stays below 0.38."""

TONAL = 0.2
"""Highest spectral flatness of a frame that holds a tone; that of noise is about 0.5."""

STEADY, STEADY_LAG = 0.95, 20
"""A sound is steady when spectra so many frames apart (0.32 s) are that alike (cosine)."""

CHANGING = 0.2
"""Least share of changing frames in a segment of speech; a hum changes only where it begins."""

LOUDEST_DBFS, QUIET_DBFS = -25.0, -70.0
"""Levels: a clip is scaled so that its loudest frame has the first, and a frame is silent when the
mean square of its band lies below the second."""

MIN_JUDGED_S = 0.5
"""A shorter clip may be all consonants, and is never called noise."""

MIN_FRAMES = 3
"""Frames in a row that make a sound; clicks are shorter."""

VOICE_MARGIN_S = 0.2
"""Seconds kept before the first and after the last voiced sound: consonants, and breath."""

BLOCK, FIRST_LOOK = 1024, 128
"""Frames that are looked at in one go: 16 s; or 2 s, after which most clips need no second look."""

AT_ONCE = 64
"""Frames that are transformed together, so that they stay in the processor's cache."""


def has_speech(waveform: np.ndarray) -> bool:
    """Whether a voice is heard anywhere.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
    """
    return any(True for _ in spoken(waveform))


def spoken(waveform: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where a voice is heard: its first sample and the one after its last, run by run.

    Consonants at both ends, which have no voice, are left out.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
    """
    for number, block in enumerate(_blocks(waveform, BLOCK)):
        first = max(0, number * BLOCK - STEADY_LAG)
        runs = _runs(block.voiced())
        steady = block.steady() if runs.size else np.zeros(0, dtype=bool)
        for start, end in runs.tolist():
            changing = np.count_nonzero(~steady[start:end])
            if changing >= max(MIN_FRAMES, CHANGING * (end - start)):
                yield (first + start) * HOP, (first + end - 1) * HOP + FRAME


def is_noise(waveform: np.ndarray) -> bool:
    """Whether there is nothing but noise, clicks and silence: neither a voice nor any tone.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
    """
    if waveform.size < MIN_JUDGED_S * SAMPLING_RATE:
        return False
    for block in _blocks(waveform, FIRST_LOOK):
        voiced = block.voiced()
        if _runs(voiced).size or _runs(voiced | block.tonal()).size:
            return False
    return True


def keep_voiced(waveform: np.ndarray) -> np.ndarray:
    """Remove what lies before the first voiced sound and after the last, but for a margin.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.

    Returns:
        a part of it; all of it where no voice is found.
    """
    found: list[list[int]] = []
    for number, block in enumerate(_blocks(waveform, BLOCK)):
        runs = _runs(block.voiced()) + max(0, number * BLOCK - STEADY_LAG)
        found.extend(runs[[0, -1]].tolist() if runs.size else [])
    if not found:
        return waveform
    margin = round(VOICE_MARGIN_S * SAMPLING_RATE)
    start, end = found[0][0] * HOP, (found[-1][1] - 1) * HOP + FRAME
    return waveform[max(0, start - margin) : end + margin]


def _blocks(waveform: np.ndarray, size: int) -> Iterator["_Block"]:
    """Yield blocks of so many frames."""
    peak = peak_power(frame_power(waveform)) if waveform.size else 0.0
    waveform = (
        waveform * np.float32(np.sqrt(10 ** (LOUDEST_DBFS / 10) / peak)) if peak else waveform
    )
    waveform = np.pad(waveform, (0, max(0, FRAME - waveform.size)))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, FRAME)[::HOP]
    for start in range(0, len(frames), size):
        # Blocks share frames, so that no sound is cut in two where they meet.
        yield _Block(frames[max(0, start - STEADY_LAG) : start + size])


class _Block:
    """Some frames, float32 ``(frames, 512)``, and which of them are what: bool ``(frames,)``."""

    def __init__(self, frames: np.ndarray) -> None:
        # Speech falls by 6 dB an octave and more; the difference lifts its upper harmonics.
        self._power = np.empty((len(frames), FRAME + 1), dtype=np.float32)
        for at in range(0, len(frames), AT_ONCE):
            part = frames[at : at + AT_ONCE]
            spectra = np.fft.rfft((part[:, 1:] - part[:, :-1]) * _WINDOW[1:], 2 * FRAME, axis=1)
            self._power[at : at + AT_ONCE] = np.square(spectra.real) + np.square(spectra.imag)

    def voiced(self) -> np.ndarray:
        """Which are periodic as a voice is."""
        band = self._power[:, BAND]
        spectrum = np.zeros((len(band), BAND.stop), dtype=np.float32)
        spectrum[:, BAND] = band / np.maximum(_moving_mean(band), 1e-20)
        correlation = np.empty((len(band), PERIODS.stop), dtype=np.float32)
        for at in range(0, len(band), AT_ONCE):
            part = np.fft.irfft(spectrum[at : at + AT_ONCE], 2 * FRAME, axis=1)
            correlation[at : at + AT_ONCE] = part[:, : PERIODS.stop]
        correlation /= np.maximum(correlation[:, :1], 1e-20)
        # The mean over neighbours keeps the period and evens out what noise repeats by chance.
        neighbours = np.pad(correlation / _WINDOW_CORRELATION, ((1, 1), (0, 0)), mode="edge")
        smooth = (neighbours[:-2] + neighbours[1:-1] + neighbours[2:]) / 3
        return self._audible(BAND) & (smooth[:, PERIODS].max(axis=1) > VOICED)

    def tonal(self) -> np.ndarray:
        """Which hold a tone of any pitch."""
        band = self._power[:, TONE_BAND]
        flat = band / np.maximum(_moving_mean(band), 1e-20)
        flatness = np.exp(np.log(np.maximum(flat, 1e-10)).mean(axis=1)) / np.maximum(
            flat.mean(axis=1), 1e-10
        )
        return self._audible(TONE_BAND) & (flatness < TONAL)

    def _audible(self, part: slice) -> np.ndarray:
        return self._power[:, part] @ (1 / _LIFT[part]) > 10 ** (QUIET_DBFS / 10) * _WINDOW_POWER

    def steady(self) -> np.ndarray:
        """Which are like the one 0.32 s before or after."""
        power = self._power[:, BAND]
        steady = np.zeros(len(power), dtype=bool)
        # The mean over five frames does not depend on where in its period a hum is cut.
        smooth = np.lib.stride_tricks.sliding_window_view(
            np.pad(power, ((2, 2), (0, 0)), mode="edge"), 5, axis=0
        ).mean(axis=-1)
        spectra = np.sqrt(smooth)
        spectra /= np.maximum(np.linalg.norm(spectra, axis=1, keepdims=True), 1e-20)
        alike = np.einsum("fb,fb->f", spectra[:-STEADY_LAG], spectra[STEADY_LAG:]) > STEADY
        steady[STEADY_LAG:] |= alike
        steady[:-STEADY_LAG] |= alike
        return steady


_WINDOW = np.hanning(FRAME)
_WINDOW_CORRELATION = np.correlate(_WINDOW, _WINDOW, "full")[FRAME - 1 :][: PERIODS.stop]
_WINDOW_CORRELATION /= _WINDOW_CORRELATION[0]
_WINDOW_POWER = FRAME * np.square(_WINDOW).sum()
_LIFT = np.square(2 * np.sin(np.pi * np.arange(FRAME + 1) / (2 * FRAME)))


def _moving_mean(rows: np.ndarray) -> np.ndarray:
    sums = np.cumsum(np.pad(rows, ((0, 0), (1, 0))), axis=1)
    place = np.arange(rows.shape[1])
    low, high = np.maximum(0, place - SMOOTH), np.minimum(rows.shape[1], place + SMOOTH + 1)
    return (sums[:, high] - sums[:, low]) / (high - low)


def _runs(frames: np.ndarray) -> np.ndarray:
    """First frame and the frame after the last of every run that is long enough: ``(runs, 2)``."""
    edges = np.flatnonzero(np.diff(frames, prepend=False, append=False)).reshape(-1, 2)
    return edges[edges[:, 1] - edges[:, 0] >= MIN_FRAMES]

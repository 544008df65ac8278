"""Loading and cleaning of audio, by the same functions in training and serving."""

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import soxr

from .decoding import (
    AUDIO_SUFFIXES,
    MIN_SECONDS,
    SAMPLING_RATE,
    VIDEO_SUFFIXES,
    AudioError,
    AudioStream,
)
from .levels import loud_segments, without_knocks, without_offset
from .noise import reduce_noise
from .speech_activity import keep_voiced

__all__ = [
    "AUDIO_SUFFIXES",
    "MIN_SECONDS",
    "SAMPLING_RATE",
    "VIDEO_SUFFIXES",
    "AudioError",
    "Cleaning",
    "audio_hash",
    "clean_audio",
    "decode",
    "load_audio",
]

SILENCE_RANGE = 1e-7
"""A clip whose samples all lie within this range counts as silent. A recording may be quiet, so
only rounding errors lie below it; noise without a voice is found by its spectrum."""

MAX_SECONDS = 3600
"""Longest clip that is decoded into memory."""


@dataclass(frozen=True)
class Cleaning:
    """Settings of :func:`clean_audio`, stored in a model's config and a corpus's card.

    Args:
        denoise: reduce noise by non-stationary spectral gating (:mod:`.noise`).
        denoise_strength: share of the estimated noise that is removed, 0 to 1. The paper names no
            method and no strength; half keeps the soft parts of speech that a full gate removes.
        trim: remove silent and low-energy segments.
        trim_db: a segment is silent when it lies this many dB below the loudest frame.
        keep_silence_s: seconds of silence kept on both sides of every speech segment, so that
            word edges and short pauses survive.
        voiced: remove what comes before the first voiced sound and after the last, but for 0.2 s.
            Noise fills the silence that ``trim`` looks for; a voice is still found in it. Not a
            step of the paper, so off unless asked for.
    """

    denoise: bool = True
    denoise_strength: float = 0.5
    trim: bool = True
    trim_db: float = 30.0
    keep_silence_s: float = 0.1
    voiced: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.denoise_strength <= 1:
            raise ValueError(f"denoise_strength must be 0 to 1, not {self.denoise_strength}")
        if self.trim_db <= 0 or self.keep_silence_s < 0:
            raise ValueError("trim_db must be positive and keep_silence_s not negative")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: dict[str, Any] | None) -> "Cleaning":
        """Build settings from :meth:`to_dict`; an unknown key is a ``ValueError``."""
        settings = settings or {}
        unknown = set(settings) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown cleaning setting: {', '.join(sorted(unknown))}")
        return cls(**settings)


def load_audio(source: Any, *, sampling_rate: float | None = None) -> np.ndarray:
    """Decode any kind of source into one mono waveform at 16 kHz.

    Args:
        source: a path; the bytes of an audio file, or a file object; a numpy array, a torch tensor
            or a list of samples (with ``sampling_rate``; 16 kHz when it is not given);
            ``{"array" | "raw", "sampling_rate"}``; ``{"bytes", "path"}`` as datasets stores it; a
            datasets ``AudioDecoder``; or a pair of rate and array, in either order. Arrays may be
            ``(num_samples,)`` or two-dimensional, the shorter axis being the channels; integers
            are scaled by their full range.
        sampling_rate: rate in Hz of a bare array. Files know their own.

    Returns:
        float32 ``(num_samples,)``, mono, 16 kHz, not cleaned.

    Raises:
        AudioError: missing, empty, truncated or undecodable file; NaN or infinite samples; less
            than 0.1 s or more than an hour; digital silence; a rate or shape that cannot be audio.
    """
    return decode(source, sampling_rate=sampling_rate)[0]


def decode(source: Any, *, sampling_rate: float | None = None) -> tuple[np.ndarray, list[str]]:
    """Decode as :func:`load_audio` does; return notes on what is unusual about the file as well."""
    with AudioStream(source, sampling_rate=sampling_rate) as stream:
        name, blocks, count = stream.name, [], 0
        _refuse_long(stream.seconds or 0, name)
        for block in stream.native():
            blocks.append(block)
            count += block.size
            _refuse_long(count / stream.rate, name)
    waveform = np.concatenate(blocks)
    if np.ptp(waveform) < SILENCE_RANGE:
        raise AudioError(f"{name}: silent from start to end")
    if stream.rate != SAMPLING_RATE:
        waveform = soxr.resample(waveform, stream.rate, SAMPLING_RATE, quality="HQ")
    return np.ascontiguousarray(waveform, dtype=np.float32), stream.notes


def _refuse_long(seconds: float, name: str) -> None:
    if seconds > MAX_SECONDS:
        raise AudioError(
            f"{name}: {seconds:.0f} s of audio, at most {MAX_SECONDS} s (an hour) are read"
        )


def clean_audio(waveform: np.ndarray, cleaning: Cleaning | None = None) -> np.ndarray:
    """Reduce noise and remove silence (paper, section III-A, steps 2 and 3).

    The result does not depend on the level of the clip, on a constant offset, nor on a knock that
    is much louder than the voice.

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
        cleaning: the settings; those of :class:`Cleaning` when not given.

    Returns:
        float32 ``(at most num_samples,)``. When cleaning would leave less than 0.1 s, or nothing
        audible, the step that would do so is left out: a clip is never cleaned to nothing.
    """
    cleaning = cleaning or Cleaning()
    if cleaning.denoise or cleaning.trim or cleaning.voiced:
        waveform = without_knocks(without_offset(waveform))
    if cleaning.denoise and cleaning.denoise_strength > 0:
        waveform = _reduce_noise(waveform, cleaning.denoise_strength)
    if cleaning.trim:
        waveform = _remove_silence(waveform, cleaning.trim_db, cleaning.keep_silence_s)
    if cleaning.voiced:
        waveform = keep_voiced(waveform)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def audio_hash(waveform: np.ndarray) -> str:
    """Hash the decoded samples, so that one recording in two containers has one hash.

    Args:
        waveform: float32 ``(num_samples,)``.

    Returns:
        64 hexadecimal digits: SHA-256 of the samples rounded to 16 bits.
    """
    quantised = np.clip(np.round(waveform * 32767.0), -32768, 32767).astype("<i2")
    return hashlib.sha256(quantised.tobytes()).hexdigest()


def _reduce_noise(waveform: np.ndarray, strength: float) -> np.ndarray:
    with np.errstate(all="ignore"):  # bands without energy divide zero by zero
        reduced = reduce_noise(waveform, strength)
    usable = np.isfinite(reduced).all() and np.ptp(reduced) >= SILENCE_RANGE
    return reduced if usable else waveform


def _remove_silence(waveform: np.ndarray, trim_db: float, keep_silence_s: float) -> np.ndarray:
    margin = round(keep_silence_s * SAMPLING_RATE)
    keep = np.zeros(waveform.size, dtype=bool)
    for start, end in loud_segments(waveform, trim_db):
        keep[max(0, start - margin) : end + margin] = True
    kept = waveform[keep]
    return kept if kept.size >= MIN_SECONDS * SAMPLING_RATE else waveform

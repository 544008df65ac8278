"""From a source file to a cleaned 16 kHz FLAC clip (paper, section III-A, preprocessing)."""

import io
from dataclasses import dataclass

import numpy as np
import soundfile

from corpus_builder.sources import Rejected, Utterance
from hub_model.audio import (
    SAMPLING_RATE,
    AudioError,
    Cleaning,
    audio_hash,
    clean_audio,
    load_audio,
)

MIN_DURATION = 1.0
"""Seconds; clips shorter than this after cleaning are dropped (paper, section III-A, step 4)."""


@dataclass(frozen=True, kw_only=True)
class CleanedClip:
    """The result of cleaning one utterance; either ``flac`` or ``reason`` is set.

    Args:
        utterance_id: of the utterance.
        duration: seconds after cleaning.
        audio_hash: hash of the source's decoded samples, before cleaning.
        flac: the cleaned clip, 16 kHz mono 16-bit FLAC.
        reason: why the clip is dropped, as in :class:`Rejected`.
        detail: one line about it.
    """

    utterance_id: str
    duration: float | None = None
    audio_hash: str | None = None
    flac: bytes | None = None
    reason: str | None = None
    detail: str | None = None


def clean_utterance(
    utterance: Utterance, *, cleaning: Cleaning, min_duration: float = MIN_DURATION
) -> CleanedClip:
    """Decode, resample, denoise, trim and encode one recording.

    A clip that cannot be used is returned with its reason. Nothing is raised for bad audio, so that
    one bad file does not stop a build.
    """
    try:
        waveform = load_audio(utterance.path)
        cleaned = clean_audio(waveform, cleaning)
    except AudioError as error:
        detail = str(error).removeprefix(f"{utterance.path}: ")
        return CleanedClip(utterance_id=utterance.utterance_id, reason="unusable", detail=detail)
    duration = cleaned.size / SAMPLING_RATE
    if duration < min_duration:
        return CleanedClip(
            utterance_id=utterance.utterance_id,
            reason="short",
            detail=f"{duration:.3f} s after cleaning, less than {min_duration:g} s",
        )
    return CleanedClip(
        utterance_id=utterance.utterance_id,
        duration=duration,
        audio_hash=audio_hash(waveform),
        flac=encode_flac(cleaned),
    )


def encode_flac(waveform: np.ndarray) -> bytes:
    """Encode float32 ``(num_samples,)`` at 16 kHz as 16-bit FLAC; beyond +-1 it is clipped."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, np.clip(waveform, -1.0, 1.0), SAMPLING_RATE, format="FLAC", subtype="PCM_16"
    )
    return buffer.getvalue()


def rejection(utterance: Utterance, clip: CleanedClip, *, label: str) -> Rejected:
    """Return the row of ``rejected.csv`` for a dropped clip."""
    assert clip.reason is not None and clip.detail is not None
    return Rejected(
        corpus=utterance.corpus,
        path=utterance.path,
        reason=clip.reason,
        detail=clip.detail,
        label=label,
    )

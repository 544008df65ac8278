"""Loading and cleaning of audio: the only place where a clip is decoded, resampled or cleaned.

Training and serving both come through here, so a model hears at inference what it heard in
training. Every failure is an :class:`AudioError` whose message is one clear line.
"""

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

SAMPLING_RATE = 16_000
"""Rate in Hz at which every clip is cleaned, stored and classified (paper, section III-A)."""

MIN_SECONDS = 0.1
"""Shortest clip that is accepted; below it there is not one syllable to judge."""

SILENCE_RANGE = 2e-4
"""A clip whose samples all lie within this range (about -80 dBFS) counts as silent."""

MAX_SECONDS = 3600
"""Longest clip that is decoded into memory."""

MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64

UNFILLED_SIZE = 0x7FFF_0000
"""From here on the size in a WAV header is a stand-in that a streaming writer never filled in."""

UNKNOWN_FRAMES = 2**63 - 1
"""What libsndfile answers for a FLAC stream whose header leaves the length open."""

NO_LENGTH = "its header does not say how long it is, as in a stream; convert it to WAV"

MP3_SLACK = 2 * 1152
"""Samples by which the length in an MP3 header may exceed what is decoded: two frames."""

VIDEO_SUFFIXES = frozenset((".mp4", ".mkv", ".mov", ".webm"))
"""File name endings of videos, whose sound ffmpeg reads."""

FFMPEG_SUFFIXES = VIDEO_SUFFIXES.union((".m4a", ".aac", ".amr", ".wma"))
"""File name endings of formats that libsndfile cannot read and ffmpeg can."""

AUDIO_SUFFIXES = FFMPEG_SUFFIXES.union(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    (".au", ".caf", ".w64", ".rf64"),
)
"""File name endings, in lower case, of the recordings that a search of a folder finds. A file that
is named itself may have any ending."""


class AudioError(ValueError):
    """A clip that cannot be used. The message is one line that a user can act on."""


@dataclass(frozen=True)
class Cleaning:
    """Settings of :func:`clean_audio`, stored in a model's config and a corpus's card.

    Args:
        denoise: reduce noise by spectral gating (noisereduce, non-stationary).
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


def load_audio(source: Any, *, sampling_rate: int | None = None) -> np.ndarray:
    """Decode anything a user may hand over into one mono waveform at 16 kHz.

    Args:
        source: a path; the bytes of an audio file; a numpy array or a list of samples (with
            ``sampling_rate``; 16 kHz when it is not given); ``{"array" | "raw", "sampling_rate"}``;
            ``{"bytes", "path"}`` as datasets stores it; a datasets ``AudioDecoder``; or Gradio's
            ``(rate, array)``. Arrays may be ``(num_samples,)`` or two-dimensional, the shorter
            axis being the channels; integers are scaled by their full range.
        sampling_rate: rate in Hz of a bare array. Files know their own.

    Returns:
        float32 ``(num_samples,)``, mono, 16 kHz, not cleaned.

    Raises:
        AudioError: missing, empty, truncated or undecodable file; NaN or infinite samples; less
            than 0.1 s or more than an hour; digital silence; a rate or shape that cannot be audio.
    """
    waveform, rate, name = decode_audio(source, sampling_rate=sampling_rate)
    _refuse_long(waveform.size / rate, name)
    refuse_short(waveform.size / rate, name)
    if np.ptp(waveform) < SILENCE_RANGE:
        raise AudioError(f"{name}: silent from start to end")
    if rate != SAMPLING_RATE:
        waveform = soxr.resample(waveform, rate, SAMPLING_RATE, quality="HQ")
    return np.ascontiguousarray(waveform, dtype=np.float32)


def decode_audio(source: Any, *, sampling_rate: int | None = None) -> tuple[np.ndarray, float, str]:
    """Decode into mono at the source's own rate; arguments and errors as :func:`load_audio`'s.

    Returns:
        float32 ``(num_samples,)`` of any level and length, its rate in Hz, and a name for messages.
    """
    samples, rate, name = _decode(source, sampling_rate)
    waveform = _to_mono(samples, name)
    refuse_rate(rate, name)
    refuse_not_finite(waveform, name)
    return waveform, rate, name


def refuse_rate(rate: Any, name: str) -> None:
    """Raise :class:`AudioError` when a sampling rate cannot be meant."""
    if not isinstance(rate, int | float | np.integer | np.floating) or not (
        MIN_RATE <= rate <= MAX_RATE
    ):
        raise AudioError(f"{name}: a sampling rate of {rate} Hz is not usable")


def refuse_not_finite(waveform: np.ndarray, name: str) -> None:
    """Raise :class:`AudioError` when a sample is NaN or infinite."""
    if not np.isfinite(waveform).all():
        raise AudioError(f"{name}: holds NaN or infinite samples")


def refuse_short(seconds: float, name: str) -> None:
    """Raise :class:`AudioError` when there is too little audio to judge."""
    if seconds == 0:
        raise AudioError(f"{name}: no samples")
    if seconds < MIN_SECONDS:
        raise AudioError(f"{name}: {seconds:.3f} s of audio, at least {MIN_SECONDS} s is needed")


def clean_audio(waveform: np.ndarray, cleaning: Cleaning | None = None) -> np.ndarray:
    """Reduce noise and remove silence (paper, section III-A, steps 2 and 3).

    Args:
        waveform: float32 ``(num_samples,)``, mono, 16 kHz.
        cleaning: the settings; those of :class:`Cleaning` when not given.

    Returns:
        float32 ``(at most num_samples,)``. When cleaning would leave less than 0.1 s, or nothing
        audible, the step that would do so is left out: a clip is never cleaned to nothing.
    """
    cleaning = cleaning or Cleaning()
    if cleaning.denoise and cleaning.denoise_strength > 0:
        waveform = _reduce_noise(waveform, cleaning.denoise_strength)
    if cleaning.trim:
        waveform = _remove_silence(waveform, cleaning.trim_db, cleaning.keep_silence_s)
    if cleaning.voiced:
        from .speech_activity import keep_voiced  # which needs this module

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


def _decode(source: Any, sampling_rate: int | None) -> tuple[np.ndarray, int, str]:
    """Return raw samples, their rate in Hz, and a name for messages."""
    if isinstance(source, str | os.PathLike):
        return _decode_file(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode_bytes(bytes(source), "audio bytes")
    if isinstance(source, dict):
        return _decode_dict(source, sampling_rate)
    if isinstance(source, tuple) and len(source) == 2 and np.isscalar(source[0]):
        return _as_array(source[1], "audio"), source[0], "audio"
    if hasattr(source, "get_all_samples"):
        try:
            decoded = source.get_all_samples()
        except RuntimeError as error:
            raise AudioError("audio: cannot be decoded") from error
        return _as_array(decoded.data, "audio"), int(decoded.sample_rate), "audio"
    rate = SAMPLING_RATE if sampling_rate is None else sampling_rate
    return _as_array(source, "audio"), rate, "audio"


def _decode_dict(source: dict[str, Any], sampling_rate: int | None) -> tuple[np.ndarray, int, str]:
    path = source.get("path")
    if path and not isinstance(path, str | os.PathLike):
        raise AudioError(f"the path of a clip must be text, not {type(path).__name__}")
    name = _one_line(Path(path).name) if path else "audio"
    for key in ("array", "raw"):
        if source.get(key) is not None:
            rate = source.get("sampling_rate", sampling_rate)
            if rate is None:
                raise AudioError(f"{name}: an array needs its sampling_rate")
            return _as_array(source[key], name), rate, name
    if source.get("bytes") is not None:
        if not isinstance(source["bytes"], bytes | bytearray | memoryview):
            raise AudioError(f"{name}: expected bytes, got {type(source['bytes']).__name__}")
        return _decode_bytes(bytes(source["bytes"]), name)
    if path:
        return _decode_file(path)
    raise AudioError(
        f"a clip given as a dict needs 'array' or 'raw' with 'sampling_rate', 'bytes', or 'path'; "
        f"found {', '.join(map(repr, source)) or 'nothing'}"
    )


def _decode_file(path: str | os.PathLike) -> tuple[np.ndarray, int, str]:
    name = one_line_name(path)
    with opening(name):
        data = Path(path).read_bytes()
    return _decode_bytes(data, name)


@contextmanager
def opening(name: str) -> Iterator[None]:
    """Turn what goes wrong when a file is opened into an :class:`AudioError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise AudioError(f"{name}: a folder, not an audio file") from error
    except OSError as error:
        raise AudioError(f"{name}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise AudioError(f"{name}: not the name of a file") from error


def one_line_name(path: str | os.PathLike) -> str:
    """Return a path as it is shown in a message."""
    return _one_line(str(path))


def _one_line(name: str) -> str:
    return " ".join(name.splitlines())


def _decode_bytes(data: bytes, name: str) -> tuple[np.ndarray, int, str]:
    if not data:
        raise AudioError(f"{name}: empty file")
    refuse_truncated(data, name)
    buffer = io.BytesIO(data)
    try:
        with soundfile.SoundFile(buffer) as file:
            if file.frames == UNKNOWN_FRAMES:
                raise AudioError(f"{name}: {NO_LENGTH}")
            _refuse_long(file.frames / file.samplerate, name)
            samples = file.read(file.frames, dtype="float32", always_2d=True)
            expected, rate, is_mp3 = file.frames, file.samplerate, file.format == "MP3"
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(f"{name}: not an audio file that can be decoded") from error
    slack = MP3_SLACK if is_mp3 else 0
    if is_mp3 and b"Xing" not in data and b"Info" not in data:
        # Without a length header the length is guessed from the first frame, and where the bit
        # rate changes a good part of the file may be left unread.
        if buffer.tell() < 0.98 * len(data):
            raise AudioError(f"{name}: {NO_LENGTH}")
        slack = expected
    if len(samples) < expected - slack:
        raise AudioError(f"{name}: truncated, {len(samples)} of {expected} samples are there")
    return samples, rate, name


def _refuse_long(seconds: float, name: str) -> None:
    if seconds > MAX_SECONDS:
        raise AudioError(
            f"{name}: {seconds:.0f} s of audio, at most {MAX_SECONDS} s (an hour) are read"
        )


def refuse_truncated(data: bytes | mmap, name: str) -> None:
    """Check the headers of a WAV or OGG file, which libsndfile silently shortens when it is cut.

    Raises:
        AudioError: bytes are missing at its end.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        _refuse_truncated_wav(data, name)
    if data[:4] == b"OggS":
        # Byte 5 of a page holds its flags: 4 marks the last one. Byte 26 counts the segments,
        # whose sizes follow.
        page = data[data.rfind(b"OggS") :]
        complete = len(page) > 26 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
        if not complete or not page[5] & 4:
            raise AudioError(f"{name}: truncated, its last page is missing")


def _refuse_truncated_wav(data: bytes | mmap, name: str) -> None:
    position = 12
    while position + 8 <= len(data):
        chunk, size = struct.unpack("<4sI", data[position : position + 8])
        if chunk == b"data":
            present = len(data) - position - 8
            if present < size < UNFILLED_SIZE:
                raise AudioError(
                    f"{name}: truncated, {present} of {size} bytes of samples are there"
                )
            return
        position += 8 + size + size % 2
    raise AudioError(f"{name}: truncated, its samples are missing")


def _as_array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise AudioError(f"{name}: the samples do not form an array of numbers") from error


def _to_mono(samples: np.ndarray, name: str) -> np.ndarray:
    """Scale to float32 in -1..1 and average the channels: ``(num_samples,)``."""
    if samples.dtype.kind not in "iufb" or samples.ndim not in (1, 2):
        raise AudioError(
            f"{name}: expected samples of shape (num_samples,) or (num_samples, channels), "
            f"got {samples.dtype} {samples.shape}"
        )
    if samples.dtype.kind in "iu":
        info = np.iinfo(samples.dtype)
        middle = 0.0 if samples.dtype.kind == "i" else (info.max + 1) / 2
        samples = ((samples - middle) / ((info.max - info.min + 1) / 2)).astype(np.float32)
    if samples.ndim == 2:
        channel_axis = int(np.argmin(samples.shape))
        if samples.shape[channel_axis] > MAX_CHANNELS:
            raise AudioError(f"{name}: shape {samples.shape} is not audio")
        samples = samples.mean(axis=channel_axis) if samples.size else samples.reshape(-1)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as that
        return samples.astype(np.float32)


def _reduce_noise(waveform: np.ndarray, strength: float) -> np.ndarray:
    import noisereduce  # slow to import, and not needed where cleaning is off

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # bands without energy divide zero by zero
        reduced = noisereduce.reduce_noise(
            y=waveform, sr=SAMPLING_RATE, stationary=False, prop_decrease=strength
        )
    usable = np.isfinite(reduced).all() and np.ptp(reduced) >= SILENCE_RANGE
    return reduced.astype(np.float32) if usable else waveform


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
    frame, hop, floor = 512, 128, 1e-10
    padded = np.pad(waveform, frame // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    power = np.maximum(np.mean(np.square(frames), axis=1), floor)
    loud = 10 * np.log10(power / power.max()) > -trim_db
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False))
    return np.minimum(edges * hop, waveform.size).reshape(-1, 2)


def _remove_silence(waveform: np.ndarray, trim_db: float, keep_silence_s: float) -> np.ndarray:
    margin = round(keep_silence_s * SAMPLING_RATE)
    keep = np.zeros(waveform.size, dtype=bool)
    for start, end in loud_segments(waveform, trim_db):
        keep[max(0, start - margin) : end + margin] = True
    kept = waveform[keep]
    return kept if kept.size >= MIN_SECONDS * SAMPLING_RATE else waveform

"""Decoding: whatever holds a recording becomes mono blocks, in little memory.

The only place where audio is decoded, mixed down and resampled. libsndfile reads what it knows
(WAV, FLAC, OGG, MP3 and more); the ffmpeg program, where it is installed, reads the rest (M4A,
WebM, the sound of videos). The bytes decide which, not the name of the file. Every failure is an
:class:`AudioError` whose message is one clear line.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from .channels import Mixdown
from .containers import Bytes, DamagedError, Stream, StreamFile, streams_of
from .ffmpeg import FfmpegSound

logger = logging.getLogger(__name__)

SAMPLING_RATE = 16_000
"""Rate in Hz at which every clip is cleaned, stored and classified (paper, section III-A)."""

MIN_SECONDS = 0.1
"""Shortest clip that is accepted; below it there is not one syllable to judge."""

MIN_RATE, MAX_RATE = 1_000, 768_000
MAX_CHANNELS = 64

BLOCK_S = 10
"""Seconds that are read at once."""

MP3_SLACK = 2 * 1152
"""Samples by which the length in an MP3 header may exceed what is decoded: two frames."""

UNKNOWN_FRAMES = 2**63 - 1
"""Length that libsndfile gives for a FLAC stream whose header leaves it open."""

VIDEO_SUFFIXES = frozenset((".mp4", ".mkv", ".mov", ".webm"))
"""File name endings of videos, whose sound ffmpeg reads."""

AUDIO_SUFFIXES = VIDEO_SUFFIXES.union(
    (".wav", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    (".au", ".snd", ".caf", ".w64", ".rf64", ".m4a", ".m4b", ".aac", ".ac3", ".amr", ".wma"),
    (".3gp", ".3g2", ".avi", ".flv", ".mpg", ".mpeg", ".mka", ".m4v", ".wv", ".ape", ".tta"),
)
"""File name endings, in lower case, of the recordings that a search of a folder finds. A file that
is named itself may have any ending."""


class AudioError(ValueError):
    """A clip that cannot be used. The message is one line that a user can act on."""


class AudioStream:
    """A recording as mono blocks at 16 kHz; a context manager.

    Args:
        source: anything that :func:`~hub_model.audio.load_audio` takes. Files are read block by
            block. Of a dict with ``channel``, from 0, only that channel is read.
        sampling_rate: rate in Hz of a bare array.

    Attributes:
        name: for messages.
        rate: of the recording, in Hz.
        seconds: length, where it is known beforehand.
        channels: number of channels of the recording.
        notes: what is unusual about the file, one line each; complete after the last block.

    Iterating yields float32 ``(num_samples,)``, 10 s at most (16 kHz). Unlike ``load_audio`` it
    takes recordings of any length, and silent ones.

    Raises:
        AudioError: when it is opened or read, as for ``load_audio``.
    """

    def __init__(self, source: Any, *, sampling_rate: float | None = None) -> None:
        self.seconds: float | None = None
        self.channels = 1
        self.notes: list[str] = []
        self.name = "audio"
        self.rate: float = SAMPLING_RATE if sampling_rate is None else sampling_rate
        self._rate_given = sampling_rate is not None
        self._channel: int | None = None
        self._stack = ExitStack()
        try:
            self._blocks = self._open(source)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "AudioStream":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[np.ndarray]:
        if self.rate == SAMPLING_RATE:
            yield from self.native()
            return
        stream = soxr.ResampleStream(self.rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ")
        for block in self.native():
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)

    def native(self) -> Iterator[np.ndarray]:
        """Yield mono blocks at the recording's own rate, :attr:`rate`."""
        count, mixdown = 0, Mixdown(self.rate, self.notes, self._channel)
        for block in self._blocks:
            if not np.isfinite(block).all():
                raise AudioError(f"{self.name}: holds NaN or infinite samples")
            count += len(block)
            yield mixdown(block)
        refuse_short(count / self.rate, self.name)
        mixdown.finish()

    def _open(self, source: Any) -> Iterator[np.ndarray]:
        if isinstance(source, dict):
            source = self._of_dict(source)
        if isinstance(source, str | os.PathLike):
            self.name = one_line_name(source)
            return self._open_path(Path(source))
        if hasattr(source, "read") and not hasattr(source, "get_all_samples"):
            source = self._read(source)
        if isinstance(source, bytes | bytearray | memoryview):
            if self.name == "audio":
                self.name = "audio bytes"
            return self._open_bytes(bytes(source), None)
        samples = self._samples_of(source)
        self._has_channels(samples.shape[1])
        refuse_rate(self.rate, self.name)
        self.seconds = len(samples) / self.rate
        step = round(BLOCK_S * self.rate)
        return (samples[at : at + step] for at in range(0, len(samples), step))

    def _of_dict(self, source: dict[str, Any]) -> Any:
        """The array, bytes or path of a dict; sets name and rate."""
        self._channel = source.get("channel")
        path = source.get("path")
        if path and not isinstance(path, str | os.PathLike):
            raise AudioError(f"the path of a clip must be text, not {type(path).__name__}")
        for key in ("array", "raw", "bytes"):
            if source.get(key) is None:
                continue
            if path:
                self.name = " ".join(Path(path).name.splitlines())
            if key == "bytes":
                if not isinstance(source[key], bytes | bytearray | memoryview):
                    kind = type(source[key]).__name__
                    raise AudioError(f"{self.name}: expected bytes, got {kind}")
            elif source.get("sampling_rate") is not None:
                self.rate = source["sampling_rate"]
            elif not self._rate_given:
                raise AudioError(f"{self.name}: an array needs its sampling_rate")
            return source[key]
        if path:
            return path
        raise AudioError(
            "a clip given as a dict needs 'array' or 'raw' with 'sampling_rate', 'bytes', or "
            f"'path'; found {', '.join(map(repr, source)) or 'nothing'}"
        )

    def _read(self, file: Any) -> bytes:
        """The rest of a file object."""
        if isinstance(name := getattr(file, "name", None), str):
            self.name = one_line_name(name)
        try:
            content = file.read()
        except (OSError, ValueError) as error:
            raise AudioError(f"{self.name}: cannot be read ({error})") from error
        if not isinstance(content, bytes | bytearray):
            raise AudioError(f"{self.name}: must be opened in binary mode")
        return bytes(content)

    def _samples_of(self, source: Any) -> np.ndarray:
        """Float32 ``(num_samples, channels)`` of an array or decoder; may set the rate."""
        if hasattr(source, "get_all_samples"):
            try:
                decoded = source.get_all_samples()
            except RuntimeError as error:
                raise AudioError("audio: cannot be decoded") from error
            self.rate, source = int(decoded.sample_rate), decoded.data
        elif isinstance(source, tuple) and len(source) == 2:
            rates = [np.isscalar(part) and not isinstance(part, str) for part in source]
            if rates[0] != rates[1]:  # Gradio's order, and that of soundfile.read
                self.rate, source = source if rates[0] else source[::-1]
        samples = as_samples(source, self.name)
        if samples.shape[1] > 2 and self._channel is None:
            self.notes.append(
                f"one recording with {samples.shape[1]} channels; give several clips as a list"
            )
            logger.warning(f"{self.name}: {self.notes[-1]}")
        return samples

    def _open_path(self, path: Path) -> Iterator[np.ndarray]:
        with _opening(self.name):
            file = self._stack.enter_context(path.open("rb"))
            # A pipe has no length, and cannot be read twice.
            content = None if path.is_file() else file.read()
            size = path.stat().st_size
        if content is not None:
            return self._open_bytes(content, None)
        if size == 0:
            raise AudioError(f"{self.name}: empty file")
        data = self._stack.enter_context(mmap(file.fileno(), 0, access=ACCESS_READ))
        return self._open_bytes(data, path)

    def _open_bytes(self, data: Bytes, path: Path | None) -> Iterator[np.ndarray]:
        if not len(data):
            raise AudioError(f"{self.name}: empty file")
        try:
            streams, notes = streams_of(data)
        except DamagedError as error:
            raise AudioError(f"{self.name}: {error}") from error
        sound = self._open_sound(data, streams[0]) if streams else None
        if sound is None or sound.frames == UNKNOWN_FRAMES:
            return self._open_ffmpeg(path or self._temporary(data))
        self.notes += notes
        self._has_channels(sound.channels)
        self.rate = sound.samplerate
        if len(streams) == 1:
            self.seconds = (streams[0].samples or sound.frames) / sound.samplerate
        return self._read_streams(data, streams, sound)

    def _open_sound(self, data: Bytes, stream: Stream) -> soundfile.SoundFile | None:
        """Open one stream with libsndfile; ``None`` when it does not know the format."""
        file = StreamFile(data, stream)
        try:
            sound = self._stack.enter_context(soundfile.SoundFile(file))
        except (soundfile.SoundFileError, RuntimeError):
            return None
        refuse_rate(sound.samplerate, self.name)
        if sound.channels > MAX_CHANNELS:
            raise AudioError(f"{self.name}: {sound.channels} channels are not audio")
        return sound

    def _read_streams(
        self, data: Bytes, streams: list[Stream], first: soundfile.SoundFile
    ) -> Iterator[np.ndarray]:
        """Yield the blocks of all streams, at the rate of the first."""
        count, sound = 0, first
        for number, stream in enumerate(streams):
            if number:
                sound = self._open_sound(data, stream)
                if sound is None:
                    at = count / self.rate
                    raise AudioError(f"{self.name}: damaged after {at:.0f} s")
            for block in self._read_sound(sound, stream, count / self.rate):
                if sound.samplerate != self.rate:
                    block = soxr.resample(block, sound.samplerate, self.rate, quality="HQ")
                count += len(block)
                yield block

    def _read_sound(
        self, sound: soundfile.SoundFile, stream: Stream, at: float
    ) -> Iterator[np.ndarray]:
        step, count = round(BLOCK_S * sound.samplerate), 0
        while True:
            try:
                block = sound.read(step, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                at += count / sound.samplerate
                raise AudioError(f"{self.name}: damaged or truncated after {at:.0f} s") from error
            if not len(block):
                break
            count += len(block)
            yield block
        expected = sound.frames - (MP3_SLACK if sound.format == "MP3" else 0)
        if count < (stream.samples or expected):
            raise AudioError(f"{self.name}: truncated, {count} of {sound.frames} samples are there")

    def _has_channels(self, number: int) -> None:
        self.channels = number
        if self._channel is not None and self._channel not in range(number):
            raise AudioError(
                f"{self.name}: there is no channel {self._channel}, it has {number}, from 0"
            )

    def _temporary(self, data: Bytes) -> Path:
        """A file with these bytes, for the ffmpeg program."""
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "recording"
        path.write_bytes(data)
        return path

    def _open_ffmpeg(self, path: Path) -> Iterator[np.ndarray]:
        try:
            sound = self._stack.enter_context(FfmpegSound(path))
        except DamagedError as error:
            raise AudioError(f"{self.name}: {error}") from error
        refuse_rate(sound.rate, self.name)
        self._has_channels(sound.channels)
        self.rate = sound.rate
        if sound.tracks > 1:
            self.notes.append(f"its {sound.tracks} audio tracks are mixed")
        return self._read_ffmpeg(sound)

    def _read_ffmpeg(self, sound: FfmpegSound) -> Iterator[np.ndarray]:
        try:
            yield from sound.blocks(round(BLOCK_S * self.rate))
        except DamagedError as error:
            raise AudioError(f"{self.name}: {error}") from error


def refuse_rate(rate: Any, name: str) -> None:
    """Raise :class:`AudioError` when a sampling rate cannot be meant."""
    if not isinstance(rate, int | float | np.integer | np.floating) or not (
        MIN_RATE <= rate <= MAX_RATE
    ):
        raise AudioError(f"{name}: a sampling rate of {rate} Hz is not usable")


def refuse_short(seconds: float, name: str) -> None:
    """Raise :class:`AudioError` when there is too little audio to judge."""
    if seconds == 0:
        raise AudioError(f"{name}: no samples")
    if seconds < MIN_SECONDS:
        raise AudioError(f"{name}: {seconds:.3f} s of audio, at least {MIN_SECONDS} s is needed")


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """Turn what goes wrong when a file is opened into an :class:`AudioError`."""
    try:
        yield
    except FileNotFoundError as error:
        hint = "; addresses are not fetched" if "://" in name or ":/" in name else ""
        raise AudioError(f"{name}: no such file{hint}") from error
    except IsADirectoryError as error:
        raise AudioError(f"{name}: a folder, not an audio file") from error
    except OSError as error:
        raise AudioError(f"{name}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise AudioError(f"{name}: not the name of a file") from error


def one_line_name(path: str | os.PathLike) -> str:
    """Return a path as it is shown in a message."""
    return " ".join(str(path).splitlines())


def as_samples(values: Any, name: str) -> np.ndarray:
    """Scale an array to float32 in -1..1: ``(num_samples, channels)``."""
    try:
        if hasattr(values, "detach"):  # a torch tensor, perhaps on a GPU or in bfloat16
            values = values.detach().cpu()
            values = values.float().numpy() if values.is_floating_point() else values.numpy()
        samples = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise AudioError(f"{name}: the samples do not form an array of numbers") from error
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2):
        raise AudioError(
            f"{name}: expected samples of shape (num_samples,) or (num_samples, channels), "
            f"got {samples.dtype} {samples.shape}"
        )
    if samples.dtype.kind in "iu":
        info = np.iinfo(samples.dtype)
        if samples.dtype.itemsize == 8 and samples.size:  # numpy's default; the values tell
            kinds = (np.int16, np.int32, np.int64) if samples.min() < 0 else (np.int16, np.int32)
            largest = max(abs(int(samples.min())), abs(int(samples.max())))
            info = next((np.iinfo(k) for k in kinds if largest <= np.iinfo(k).max + 1), info)
        middle = 0.0 if info.min < 0 else (info.max + 1) / 2
        samples = ((samples - middle) / ((info.max - info.min + 1) / 2)).astype(np.float32)
    if samples.ndim == 1 or not samples.size:
        samples = samples.reshape(-1, 1)
    elif samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.shape[1] > MAX_CHANNELS:
        raise AudioError(f"{name}: shape {samples.shape} is not audio")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused as that
        return samples.astype(np.float32)

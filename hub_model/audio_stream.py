"""Recordings read from disk block by block, so that hours of audio need little memory.

libsndfile reads what it knows (WAV, FLAC, OGG, MP3 and more); the ffmpeg program, where it is
installed, reads the rest (M4A, WebM, the sound of videos).
"""

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from .audio import (
    MAX_CHANNELS,
    MP3_SLACK,
    NO_LENGTH,
    SAMPLING_RATE,
    UNKNOWN_FRAMES,
    AudioError,
    decode_audio,
    one_line_name,
    opening,
    refuse_not_finite,
    refuse_rate,
    refuse_short,
    refuse_truncated,
)

BLOCK_S = 10
"""Seconds that are read at once."""

FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
"""What ffmpeg may open: no playlists, which could make it read other files or addresses."""


class AudioStream:
    """A recording as mono blocks at 16 kHz; a context manager.

    Args:
        source: anything that :func:`~hub_model.audio.load_audio` takes. Files are read as the
            stream goes on; arrays lie in memory anyway.

    Attributes:
        name: for messages.
        seconds: length, where it is known beforehand.

    Iterating yields float32 ``(num_samples,)``, 10 s at most (16 kHz). Unlike ``load_audio`` it
    takes recordings of any length, and silent ones.

    Raises:
        AudioError: when it is opened, or while it is read: what is wrong with the recording, as
            ``load_audio`` says it.
    """

    def __init__(self, source: Any) -> None:
        self.seconds: float | None = None
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
        resample = None
        if self._rate != SAMPLING_RATE:
            stream = soxr.ResampleStream(
                self._rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ"
            )
            resample = stream.resample_chunk
        count = 0
        for block in self._blocks:
            refuse_not_finite(block, self.name)
            count += block.size
            yield resample(block) if resample else block
        refuse_short(count / self._rate, self.name)
        if resample:
            yield resample(np.zeros(0, dtype=np.float32), last=True)

    def _open(self, source: Any) -> Iterator[np.ndarray]:
        if isinstance(source, dict) and all(
            source.get(key) is None for key in ("array", "raw", "bytes")
        ):
            source = source.get("path") or source
        if isinstance(source, str | os.PathLike):
            self.name = one_line_name(source)
            return self._open_path(Path(source))
        if isinstance(source, bytes | bytearray | memoryview):
            self.name = "audio bytes"
            return self._open_bytes(bytes(source))
        waveform, self._rate, self.name = decode_audio(source)
        self.seconds = waveform.size / self._rate
        step = round(BLOCK_S * self._rate)
        return (waveform[at : at + step] for at in range(0, waveform.size, step))

    def _open_path(self, path: Path) -> Iterator[np.ndarray]:
        with opening(self.name):
            file = self._stack.enter_context(path.open("rb"))
            # A pipe has no length and no way back.
            data = None if path.is_file() else file.read()
        if data is not None:
            return self._open_bytes(data)
        if path.stat().st_size == 0:
            raise AudioError(f"{self.name}: empty file")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            refuse_truncated(data, self.name)
        blocks = self._open_sound(file, path.stat().st_size)
        return blocks if blocks is not None else self._open_ffmpeg(path)

    def _open_bytes(self, data: bytes) -> Iterator[np.ndarray]:
        if not data:
            raise AudioError(f"{self.name}: empty file")
        refuse_truncated(data, self.name)
        blocks = self._open_sound(io.BytesIO(data), len(data))
        if blocks is None:
            raise AudioError(f"{self.name}: not an audio file that can be decoded")
        return blocks

    def _open_sound(self, file: BinaryIO, size: int) -> Iterator[np.ndarray] | None:
        try:
            sound = self._stack.enter_context(soundfile.SoundFile(file))
        except (soundfile.SoundFileError, RuntimeError):
            return None
        if sound.frames == UNKNOWN_FRAMES:
            raise AudioError(f"{self.name}: {NO_LENGTH}")
        refuse_rate(sound.samplerate, self.name)
        if sound.channels > MAX_CHANNELS:
            raise AudioError(f"{self.name}: {sound.channels} channels are not audio")
        self._rate = sound.samplerate
        self.seconds = sound.frames / sound.samplerate
        return self._read_sound(sound, file, size)

    def _read_sound(
        self, sound: soundfile.SoundFile, file: BinaryIO, size: int
    ) -> Iterator[np.ndarray]:
        step, count = round(BLOCK_S * sound.samplerate), 0
        while True:
            try:
                block = sound.read(step, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError) as error:
                raise AudioError(
                    f"{self.name}: cannot be decoded from {count / self._rate:.0f} s on"
                ) from error
            if not len(block):
                break
            count += len(block)
            yield block.mean(axis=1)
        if sound.format == "MP3":
            # The length of an MP3 file may be a guess; what counts is that all of it was read.
            whole = file.tell() >= 0.98 * size and count > 0
            whole = whole and (count >= sound.frames - MP3_SLACK or not _has_length(file))
        else:
            whole = count >= sound.frames
        if not whole:
            raise AudioError(f"{self.name}: truncated, {count} of {sound.frames} samples are there")

    def _open_ffmpeg(self, path: Path) -> Iterator[np.ndarray]:
        program = shutil.which("ffmpeg")
        if program is None:
            raise AudioError(
                f"{self.name}: not an audio file that can be decoded; ffmpeg, which knows more "
                "formats, is not installed"
            )
        self._rate = SAMPLING_RATE
        errors = tempfile.TemporaryFile()  # noqa: SIM115, the stack closes it
        self._stack.callback(errors.close)
        process = subprocess.Popen(
            [
                *(program, "-nostdin", "-v", "error", "-xerror", "-protocol_whitelist", "file"),
                *("-format_whitelist", FFMPEG_FORMATS, "-i", f"file:{path}", "-vn", "-ac", "1"),
                *("-ar", str(SAMPLING_RATE), "-f", "f32le", "-"),
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
        )
        self._stack.callback(_stop, process)
        return self._read_ffmpeg(process, errors)

    def _read_ffmpeg(self, process: subprocess.Popen, errors: BinaryIO) -> Iterator[np.ndarray]:
        step, count = BLOCK_S * SAMPLING_RATE * 4, 0
        while data := process.stdout.read(step):
            block = np.frombuffer(data[: len(data) // 4 * 4], dtype="<f4")
            count += block.size
            yield block.astype(np.float32)
        errors_size = errors.seek(0, io.SEEK_END)
        if process.wait() or errors_size:
            if not count:
                raise AudioError(f"{self.name}: not an audio file that can be decoded")
            raise AudioError(f"{self.name}: damaged or truncated after {count / self._rate:.0f} s")


def _has_length(file: BinaryIO) -> bool:
    """Whether an MP3 file says its length, in a frame that is so named."""
    file.seek(0)
    tail = b""
    while chunk := file.read(1 << 20):
        if b"Xing" in tail + chunk or b"Info" in tail + chunk:
            return True
        tail = chunk[-3:]
    return False


def _stop(process: subprocess.Popen) -> None:
    process.kill()
    process.stdout.close()
    process.wait()

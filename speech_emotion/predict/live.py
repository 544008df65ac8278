"""Listening to a microphone, a file or standard input while it is classified."""

import os
import queue
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from hub_model.audio import AudioError
from hub_model.decoding import AudioStream, refuse_rate
from speech_emotion.predict import PredictError

RAW_RATE = 16_000
"""Rate in Hz of raw samples, when none is given."""

HELD_S = 30
"""Seconds of sound that wait while the model is slower than the microphone; more are lost."""

BLOCK_S = 0.1
"""Seconds that a microphone gives at once."""

GONE_S = 5
"""A microphone that gives nothing for so many seconds has gone."""

CONTAINERS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b".snd", b"caff")
"""First bytes of files, which are not raw samples."""


class Source(Protocol):
    """Gives the samples of a recording as they come.

    Attributes:
        name: for messages.
        sampling_rate: in Hz.
    """

    name: str
    sampling_rate: float

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield samples ``(num_samples,)``, int16 or float32. Raises PredictError, in one line."""


class Microphone:
    """A microphone.

    Args:
        device: number of an input device, or a part of its name; the system's choice if not given.

    Attributes:
        lost_s: seconds that were lost, as the model is too slow; silence stands in their place.

    Raises:
        PredictError: sounddevice or PortAudio is not installed, or there is no such microphone.
    """

    def __init__(self, device: str | None = None) -> None:
        try:
            import sounddevice
        except ImportError as error:
            raise PredictError(
                'sounddevice is not installed; pip install "speech-text-emotion[live]"'
            ) from error
        except OSError as error:
            raise PredictError(
                "sounddevice does not find the library PortAudio (on Debian: apt install "
                "libportaudio2)"
            ) from error
        self._audio = sounddevice
        self._device = int(device) if device is not None and device.isdigit() else device
        self.lost_s = 0.0
        try:
            found = sounddevice.query_devices(self._device, "input")
        except (ValueError, sounddevice.PortAudioError) as error:
            inputs = [
                f"{place} {one['name']}"
                for place, one in enumerate(sounddevice.query_devices())
                if one["max_input_channels"]
            ]
            which = "no microphone was found" if device is None else f"no microphone {device}"
            known = f"; there are: {', '.join(inputs)}" if inputs else ""
            raise PredictError(f"{which}{known}") from error
        self.name, self.sampling_rate = found["name"], found["default_samplerate"]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield int16 ``(num_samples,)`` until the microphone has gone, a PredictError."""
        waiting: queue.Queue[np.ndarray] = queue.Queue(round(HELD_S / BLOCK_S))
        lost = 0

        def heard(samples: np.ndarray, frames: int, *_: Any) -> None:
            nonlocal lost
            if waiting.full():
                lost += frames
                self.lost_s += frames / self.sampling_rate
                return
            silence, lost = np.zeros(lost, dtype=np.int16), 0
            waiting.put_nowait(np.concatenate([silence, samples[:, 0]]))

        try:
            with self._audio.InputStream(
                device=self._device,
                samplerate=self.sampling_rate,
                channels=1,
                dtype="int16",
                blocksize=round(BLOCK_S * self.sampling_rate),
                callback=heard,
            ):
                while True:
                    yield waiting.get(timeout=GONE_S)
        except queue.Empty:
            raise PredictError(f"{self.name}: no sound for {GONE_S} s; is it gone?") from None
        except self._audio.PortAudioError as error:
            reason = error.args[0] if error.args else "it cannot be opened"
            raise PredictError(f"{self.name}: {reason}") from error


class File:
    """A recording of any length. Raises PredictError when it is opened or read."""

    sampling_rate: float

    def __init__(self, path: str) -> None:
        self.name = path
        try:
            self._stream = AudioStream(path)
        except AudioError as error:
            raise PredictError(str(error)) from error
        self.sampling_rate = self._stream.rate

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 ``(num_samples,)``."""
        try:
            with self._stream:
                yield from self._stream.native()
        except AudioError as error:
            raise PredictError(str(error)) from error


class StandardInput:
    """Raw samples from standard input: 16-bit integers, little-endian, mono.

    Raises:
        PredictError: it is a terminal, or a rate cannot be meant.
    """

    def __init__(self, sampling_rate: float = RAW_RATE) -> None:
        self.name, self.sampling_rate = "standard input", sampling_rate
        try:
            refuse_rate(sampling_rate, self.name)
        except AudioError as error:
            raise PredictError(str(error)) from error
        if sys.stdin.isatty():
            raise PredictError("standard input is a terminal; it must give raw samples")

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield int16 ``(num_samples,)``. Raises PredictError when a file is given."""
        rest, first = b"", True
        while chunk := os.read(sys.stdin.fileno(), 1 << 16):
            rest += chunk
            if first and len(rest) < 4:
                continue
            if first and rest.startswith(CONTAINERS):
                raise PredictError(
                    "standard input holds a file, not raw samples (16-bit integers); name the "
                    "file, or convert it: ffmpeg -i FILE -f s16le -ac 1 -ar 16000 -"
                )
            first = False
            whole = len(rest) // 2 * 2
            yield np.frombuffer(rest[:whole], dtype="<i2")
            rest = rest[whole:]

"""Decoding by the ffmpeg program, for what libsndfile does not know (M4A, WebM, videos)."""

import io
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .containers import DamagedError

FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)
"""What ffmpeg may open: no playlists, which could make it read other files or addresses."""

SAFE = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)

NOT_AUDIO = "not an audio file that can be decoded"


class FfmpegSound:
    """The sound of a file at its own rate, all audio tracks mixed; a context manager.

    Attributes:
        rate: in Hz.
        channels: how many.
        tracks: how many audio tracks were mixed.

    Raises:
        DamagedError: ffmpeg is not installed, or cannot decode the file or all of it.
    """

    def __init__(self, path: Path) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            raise DamagedError(f"{NOT_AUDIO}; ffmpeg, which knows more formats, is not installed")
        self.tracks = _audio_tracks(path)
        mix = ["-vn"]
        if self.tracks > 1:
            inputs = "".join(f"[0:a:{track}]" for track in range(self.tracks))
            mix = ["-filter_complex", f"{inputs}amix=inputs={self.tracks}:normalize=0[mixed]"]
            mix += ["-map", "[mixed]"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [
                *(program, "-nostdin", "-v", "error", "-xerror", *SAFE, "-i", f"file:{path}"),
                *(*mix, "-c:a", "pcm_f32be", "-f", "au", "-"),
            ],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._sound = self._process.stdout
        header = self._sound.read(24)
        if len(header) < 24:
            self.close()
            raise DamagedError(NOT_AUDIO)
        _, offset, _, _, self.rate, self.channels = struct.unpack(">6I", header)
        self._sound.read(offset - 24)

    def __enter__(self) -> "FfmpegSound":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def blocks(self, num_samples: int) -> Iterator[np.ndarray]:
        """Yield float32 ``(num_samples, channels)``, the last one shorter."""
        size, count = 4 * self.channels, 0
        while data := self._sound.read(num_samples * size):
            samples = np.frombuffer(data[: len(data) // size * size], dtype=">f4")
            count += len(samples) // self.channels
            yield samples.reshape(-1, self.channels).astype(np.float32)
        if self._process.wait() or self._errors.seek(0, io.SEEK_END):
            raise DamagedError(
                f"damaged or truncated after {count / self.rate:.0f} s" if count else NOT_AUDIO
            )

    def close(self) -> None:
        """Stop ffmpeg."""
        self._process.kill()
        self._sound.close()
        self._process.wait()
        self._errors.close()


def _audio_tracks(path: Path) -> int:
    """How many audio tracks a file has, by ffprobe; 1 where that is not installed or fails."""
    program = shutil.which("ffprobe")
    if program is None:
        return 1
    asked = ("-select_streams", "a", "-show_entries", "stream=index", "-of", "csv=p=0")
    found = subprocess.run(
        [program, "-v", "quiet", *SAFE, *asked, f"file:{path}"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return max(1, len(set(found.stdout.split())))

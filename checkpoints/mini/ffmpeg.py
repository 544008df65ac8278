"""Decoding by the ffmpeg program, for what libsndfile does not know (M4A, WebM, videos)."""

import io
import json
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
        self.tracks, longest = _audio_tracks(path)
        mix = ["-vn"]
        if self.tracks > 1:
            # amix of ffmpeg 5 may end with a shorter track, so that all are padded to one length.
            pad = f"apad=whole_dur={longest}" if longest else "anull"
            padded = "".join(f"[0:a:{track}]{pad}[t{track}];" for track in range(self.tracks))
            inputs = "".join(f"[t{track}]" for track in range(self.tracks))
            mixed = f"{padded}{inputs}amix=inputs={self.tracks}:normalize=0[mixed]"
            mix = ["-filter_complex", mixed, "-map", "[mixed]"]
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


def _audio_tracks(path: Path) -> tuple[int, float]:
    """How many audio tracks a file has, by ffprobe, and the seconds of the longest.

    1 and 0 where ffprobe is not installed or fails. A track that does not tell its length is taken
    to be as long as the file.
    """
    program = shutil.which("ffprobe")
    if program is None:
        return 1, 0.0
    asked = ("-select_streams", "a", "-show_entries", "stream=index,duration:format=duration")
    found = subprocess.run(
        [program, "-v", "quiet", *SAFE, *asked, "-of", "json", f"file:{path}"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    try:
        told = json.loads(found.stdout or b"{}")
    except ValueError:
        return 1, 0.0
    tracks, whole = told.get("streams") or [], told.get("format", {}).get("duration", 0.0)
    lengths = [float(track.get("duration", whole)) for track in tracks]
    return max(1, len(tracks)), max(lengths, default=0.0)

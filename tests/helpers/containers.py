"""One clip in every container and codec that people bring; made by ffmpeg."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE
from tests.helpers.sounds import encode

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")

CODECS = {
    "a.wav": "-c:a pcm_s16le",
    "a24.wav": "-c:a pcm_s24le",
    "adpcm.wav": "-c:a adpcm_ms",
    "mp3.wav": "-ar 44100 -c:a libmp3lame",
    "a.flac": "",
    "a.ogg": "-c:a libvorbis",
    "a.opus": "-ar 48000 -c:a libopus",
    "a.mp3": "-ar 44100",
    "a.mp2": "-ar 44100",
    "a.aiff": "",
    "a.au": "",
    "a.w64": "",
    "a.caf": "",
    "a.m4a": "-c:a aac",
    "a.3gp": "-c:a aac",
    "a.mp4": "-c:a aac",
    "a.webm": "-ar 48000 -c:a libopus",
    "a.mka": "-c:a libvorbis",
    "a.aac": "-c:a aac",
    "a.wma": "",
}
"""Name of the file -> options of ffmpeg."""


def ffmpeg(*arguments: str | int | Path) -> bytes:
    """Run ffmpeg; returns its standard output."""
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def write_containers(folder: Path, clip: np.ndarray) -> None:
    """Write a clip, float32 ``(num_samples,)`` at 16 kHz, in every container."""
    source = folder.parent / f"{folder.name}-source.wav"
    source.write_bytes(encode(clip))
    for name, options in CODECS.items():
        ffmpeg("-i", source, *options.split(), folder / name)


def decoded_seconds(path: Path) -> float:
    """Length of the sound of a file as ffmpeg decodes it."""
    raw = ffmpeg("-i", path, "-ac", 1, "-ar", SAMPLING_RATE, "-f", "f32le", "-")
    return len(raw) / 4 / SAMPLING_RATE

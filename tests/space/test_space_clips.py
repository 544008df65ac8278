"""Clips are checked before any model runs, and drawn."""

import numpy as np
import pytest
import soundfile as sf
from clips import ClipError, draw, read_clip
from timeline import read_recording

from hub_model.decoding import AudioStream
from tests.helpers.containers import ffmpeg, needs_ffmpeg

LIMITS = {"max_seconds": 5.0, "max_megabytes": 1.0}


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats_rates_and_channels(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    sf.write(path, tone(1.0, 48_000, 2), 48_000)
    clip = read_clip(path, **LIMITS)
    assert clip.waveform.dtype == np.float32 and clip.waveform.ndim == 1
    assert clip.seconds == pytest.approx(1.0, abs=0.1)  # MP3 pads
    assert clip.resampled(16_000).size == pytest.approx(16_000, abs=1_600)
    assert np.abs(clip.waveform).max() == pytest.approx(0.5, abs=0.1)


@needs_ffmpeg
@pytest.mark.parametrize("stream", [None, AudioStream], ids=["stock", "custom"])
@pytest.mark.parametrize("name", ["a.m4a", "a.webm", "a.opus", "a.mp4"])
def test_what_phones_record_is_read(tmp_path, name, stream):
    sf.write(tmp_path / "clip.wav", tone(1.0), 16_000)
    ffmpeg("-i", tmp_path / "clip.wav", "-ar", 48_000, tmp_path / name)
    clip = read_clip(tmp_path / name, **LIMITS, stream=stream)
    assert clip.sampling_rate == 48_000 and clip.seconds == pytest.approx(1.0, abs=0.1)
    assert read_recording(tmp_path / name, max_minutes=1, stream=stream).seconds == pytest.approx(
        clip.seconds
    )


def test_channels_that_cancel_each_other_are_no_silence(tmp_path):
    path = tmp_path / "clip.wav"
    sf.write(path, tone(1.0) * [1, -1], 16_000)
    assert np.ptp(read_clip(path, **LIMITS).waveform) < 1e-3
    assert np.ptp(read_clip(path, **LIMITS, stream=AudioStream).waveform) > 0.9


def write_text(path):
    path.write_text("this is no audio")


def write_nan(path):
    samples = tone(1.0).astype(np.float32)
    samples[100] = np.nan
    sf.write(path, samples, 16_000, subtype="FLOAT")


BAD = {
    "text": (write_text, "could not be read as audio"),
    "empty file": (lambda path: path.touch(), "could not be read as audio"),
    "no samples": (lambda path: sf.write(path, np.zeros(0), 16_000), "too short"),
    "50 ms": (lambda path: sf.write(path, tone(0.05), 16_000), "too short: 0.05 s"),
    "zeros": (lambda path: sf.write(path, np.zeros(16_000), 16_000), "silent"),
    "NaN": (write_nan, "not numbers"),
    "too long": (lambda path: sf.write(path, tone(5.1), 16_000), "too long: at most 5 s"),
    "too large": (lambda path: path.write_bytes(bytes(1_000_001)), "too large: at most 1 MB"),
    "odd rate": (lambda path: sf.write(path, tone(1.0), 500), "500 Hz"),
    "gone": (lambda path: None, "no longer on the server"),
}


@pytest.mark.parametrize("stream", [None, AudioStream])
@pytest.mark.parametrize(("write", "words"), BAD.values(), ids=BAD)
def test_bad_clips_are_refused_in_one_line(tmp_path, write, words, stream):
    path = tmp_path / "clip.wav"
    write(path)
    with pytest.raises(ClipError, match=words) as caught:
        read_clip(path, **LIMITS, stream=stream)
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_no_clip_is_refused():
    with pytest.raises(ClipError, match="no clip yet"):
        read_clip(None, **LIMITS)


def test_a_small_file_that_unpacks_to_hours_is_refused(tmp_path):
    path = tmp_path / "clip.flac"
    with sf.SoundFile(path, "w", 16_000, 1) as file:
        for _ in range(60):
            file.write(np.zeros(16_000 * 60, np.int16))
    assert path.stat().st_size < LIMITS["max_megabytes"] * 1e6
    with pytest.raises(ClipError, match="too long"):
        read_clip(path, **LIMITS)


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_picture_shows_the_pitch(tmp_path, seconds):
    path = tmp_path / "clip.wav"
    sf.write(path, tone(seconds), 16_000)
    picture = draw(read_clip(path, **LIMITS))
    assert picture.dtype == np.uint8 and picture.shape == (420, 960, 4)
    # A low tone is near the bottom edge only; silence is transparent.
    light = picture[:, 300:800, 3].mean(axis=1)
    assert light[200:340].max() > 3 * light[30:130].max()

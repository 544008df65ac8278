"""What is speech and what is not, whatever the level."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE, load_audio
from hub_model.speech_activity import has_speech, is_noise
from tests.helpers.sounds import noise, tone, voice

RAVDESS = Path(__file__).parents[3] / "shared" / "data" / "RAVDESS"
SECONDS = 4
TIME = np.arange(SECONDS * SAMPLING_RATE) / SAMPLING_RATE


def hum(hertz: float, harmonics: int) -> np.ndarray:
    parts = [np.sin(2 * np.pi * hertz * k * TIME + k) / k for k in range(1, harmonics + 1)]
    return (0.05 * sum(parts)).astype(np.float32)


def clicks(every: int) -> np.ndarray:
    waveform = np.zeros(TIME.size, dtype=np.float32)
    waveform[::every] = 0.8
    return waveform


def knocks() -> np.ndarray:
    fade = np.exp(-np.arange(1600) / 300) * np.random.default_rng(0).normal(size=1600)
    waveform = np.zeros(TIME.size, dtype=np.float32)
    for start in range(0, TIME.size - 1600, 5000):
        waveform[start : start + 1600] += 0.3 * fade
    return waveform


def after_silence(waveform: np.ndarray) -> np.ndarray:
    return np.where(TIME < SECONDS / 2, 0, waveform).astype(np.float32)


NOISES = {
    "white": noise(SECONDS),
    "pink": noise(SECONDS, slope=1),
    "brown": noise(SECONDS, slope=2),
    "white from the middle on": after_silence(noise(SECONDS)),
    "silence": np.zeros(TIME.size, dtype=np.float32),
    "constant": np.full(TIME.size, 0.3, dtype=np.float32),
    "clicks": clicks(4000),
    "fast clicks": clicks(400),
    "knocks": knocks(),
}
HUMS = {
    f"{hertz} Hz, {harmonics} harmonics": hum(hertz, harmonics)
    for hertz in (50, 60, 100, 120)
    for harmonics in (1, 5, 19)
}


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("gain", [1, 0.01])
def test_noise_is_no_speech(name, gain):
    assert not has_speech(NOISES[name] * np.float32(gain))
    assert is_noise(NOISES[name] * np.float32(gain))


@pytest.mark.parametrize("name", HUMS)
def test_a_hum_is_no_speech_wherever_it_begins(name):
    for waveform in (HUMS[name], after_silence(HUMS[name])):
        assert not has_speech(waveform)
        assert not has_speech(waveform + noise(SECONDS, seed=3) * 0.001)


def test_a_tone_is_no_speech_but_no_noise_either():
    assert not has_speech(tone(440, SECONDS))
    assert not is_noise(tone(440, SECONDS))
    assert not is_noise(tone(2500, 1.1))


def test_no_window_of_much_noise_is_speech():
    for slope in (0, 1, 2):
        waveform = noise(120, slope=slope, seed=slope)
        assert not has_speech(waveform)
        assert is_noise(waveform)


@pytest.mark.parametrize("dbfs", [0, -20, -40])
@pytest.mark.parametrize("pitch", [90, 140, 220, 320])
def test_a_voice_is_speech_at_every_level(pitch, dbfs):
    waveform = voice(2, pitch=pitch)
    waveform *= 10 ** (dbfs / 20) / np.abs(waveform).max()
    quantised = np.round(waveform * 32768) / 32768
    assert has_speech(quantised.astype(np.float32))
    assert not is_noise(quantised.astype(np.float32))


@pytest.mark.parametrize("ratio_db", [20, 10, 5])
def test_a_voice_in_noise_is_speech(ratio_db):
    waveform = voice(3)
    hiss = np.random.default_rng(0).normal(size=waveform.size)
    hiss *= np.sqrt(np.mean(waveform**2) / 10 ** (ratio_db / 10))
    assert has_speech((waveform + hiss).astype(np.float32))


def test_one_word_in_a_long_silence_is_found():
    waveform = np.zeros(60 * SAMPLING_RATE, dtype=np.float32)
    for start in (0, 255_000, 262_000, waveform.size - 8000):
        with_word = waveform.copy()
        with_word[start : start + 8000] = voice(0.5)
        assert has_speech(with_word)


def test_a_voice_over_a_hum_is_speech():
    assert has_speech(HUMS["50 Hz, 19 harmonics"] + voice(SECONDS))


@pytest.mark.parametrize("samples", [1600, 4000, 7999])
def test_very_short_clips_are_never_called_noise(samples):
    assert not is_noise(noise(1)[:samples])


def test_less_than_a_frame():
    assert not has_speech(noise(1)[:100])
    assert not has_speech(np.zeros(0, dtype=np.float32))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("words", ["yes", "Kids are talking by the door."])
@pytest.mark.parametrize("speaker", ["en", "en+f3"])
def test_spoken_words_at_minus_40_dbfs(words, speaker):
    spoken = subprocess.run(
        ["espeak-ng", "-v", speaker, "--stdout", words], capture_output=True, check=True
    ).stdout
    samples, rate = soundfile.read(io.BytesIO(spoken), dtype="float32")
    waveform = load_audio((rate, samples / np.abs(samples).max() * 0.01))
    assert has_speech(waveform)
    assert not is_noise(waveform)


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="RAVDESS is not there")
def test_real_clips_are_speech_at_minus_40_dbfs():
    clips = sorted(RAVDESS.rglob("*.flac"))[::60]
    assert len(clips) > 10
    for clip in clips:
        waveform = load_audio(clip)
        waveform *= np.float32(0.01 / np.abs(waveform).max())
        assert has_speech(waveform), clip.name
        assert not is_noise(waveform), clip.name

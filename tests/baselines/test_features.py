"""Hand-crafted features of made clips, beside librosa's own functions."""

import subprocess
from pathlib import Path

import librosa
import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE, load_audio
from speech_emotion.baselines.features import (
    FEATURE_NAMES,
    clip_features,
    frame_features,
    mfcc_means,
)

RAVDESS = Path(__file__).resolve().parents[3] / "shared/data/RAVDESS"


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(seconds: float = 1.0, level: float = 0.1) -> np.ndarray:
    size = int(seconds * SAMPLING_RATE)
    return np.random.default_rng(0).normal(0, level, size).astype(np.float32)


CLIPS = {
    "tone": tone(440),
    "out of tune": tone(452.3) + tone(678.5),
    "tones": tone(300) + tone(900) + 0.01 * noise(),
    "noise": noise(1.7),
    "quiet": noise(level=1e-5),
    "half silent": np.concatenate([tone(250), np.zeros(9000, np.float32)]),
    "silent": np.zeros(16_000, np.float32),
    "high": tone(5000),
    "one frame": noise(2048 / SAMPLING_RATE),
    "shorter than a frame": noise(0.1),
    "odd length": noise(1.234567),
}


def by_librosa(waveform: np.ndarray) -> np.ndarray:
    """The five functions one after the other, with their own settings."""
    y, sr = waveform, SAMPLING_RATE
    parts = (
        librosa.feature.chroma_stft(y=y, sr=sr),
        librosa.feature.melspectrogram(y=y, sr=sr, n_mels=60),
        librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.spectral_centroid(y=y, sr=sr),
    )
    return np.concatenate([part.mean(axis=1, dtype=np.float64) for part in parts])


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large", "ignore:Trying to estimate tuning")
@pytest.mark.parametrize("name", CLIPS)
def test_values_are_those_of_librosa(name):
    waveform = CLIPS[name]
    np.testing.assert_allclose(clip_features(waveform), by_librosa(waveform), rtol=1e-4, atol=1e-4)


def test_values_of_speech_are_those_of_librosa(tmp_path):
    path = tmp_path / "speech.wav"
    try:
        subprocess.run(["espeak-ng", "-w", path, "Dogs are sitting by the door"], check=True)
    except FileNotFoundError:
        pytest.skip("espeak-ng is not installed")
    waveform = load_audio(path)
    np.testing.assert_allclose(clip_features(waveform), by_librosa(waveform), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="RAVDESS is not here")
def test_values_of_real_clips_are_those_of_librosa():
    for path in sorted(RAVDESS.rglob("*.flac"))[::240]:
        waveform = load_audio(path)
        np.testing.assert_allclose(
            clip_features(waveform), by_librosa(waveform), rtol=1e-4, atol=1e-4
        )


def test_there_are_94_values_with_a_name_each():
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == 94
    values = clip_features(CLIPS["tones"])
    assert values.shape == (94,) and values.dtype == np.float32
    named = dict(zip(FEATURE_NAMES, clip_features(tone(440)), strict=True))
    assert max(FEATURE_NAMES[:12], key=named.get) == "chroma_A"
    assert named["zero_crossing_rate"] == pytest.approx(2 * 440 / SAMPLING_RATE, rel=0.05)
    assert named["spectral_centroid"] == pytest.approx(440, rel=0.05)


def test_the_names_and_their_order():
    """Paper, section III-B: 12 chroma, 60 mel bands, 20 MFCCs, zero-crossing rate, centroid."""
    kinds = [name.rpartition("_")[0] for name in FEATURE_NAMES[:92]]
    assert kinds == ["chroma"] * 12 + ["mel"] * 60 + ["mfcc"] * 20
    assert FEATURE_NAMES[92:] == ("zero_crossing_rate", "spectral_centroid")
    notes = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    assert FEATURE_NAMES[:12] == tuple(f"chroma_{note}" for note in notes)
    assert FEATURE_NAMES[12] == "mel_01" and FEATURE_NAMES[71:73] == ("mel_60", "mfcc_01")


def test_a_clip_is_the_mean_of_its_frames():
    frames = frame_features(CLIPS["odd length"])
    assert frames.shape == (1 + CLIPS["odd length"].size // 512, 94)
    np.testing.assert_allclose(frames.mean(axis=0), clip_features(CLIPS["odd length"]), rtol=1e-5)


def test_mfcc_means_are_librosas_frames_averaged():
    waveform = CLIPS["tones"]
    frames = librosa.feature.mfcc(y=waveform, sr=16_000, n_mfcc=20)
    values = mfcc_means(waveform)
    assert values.shape == (20,) and values.dtype == np.float32
    np.testing.assert_allclose(values, frames.mean(axis=1), rtol=1e-4)


def test_mfcc_means_tell_two_tones_apart():
    assert np.abs(mfcc_means(tone(200)) - mfcc_means(tone(2000))).max() > 10

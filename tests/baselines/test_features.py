"""Hand-crafted features of made clips."""

import librosa
import numpy as np

from baselines.features import mfcc_means
from hub_model.audio import SAMPLING_RATE


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_mfcc_means_are_librosas_frames_averaged():
    waveform = tone(300) + tone(900)
    frames = librosa.feature.mfcc(y=waveform, sr=16_000, n_mfcc=20)
    values = mfcc_means(waveform)
    assert values.shape == (20,) and values.dtype == np.float32
    np.testing.assert_allclose(values, frames.mean(axis=1), rtol=1e-5)


def test_mfcc_means_tell_two_tones_apart():
    assert np.abs(mfcc_means(tone(200)) - mfcc_means(tone(2000))).max() > 10

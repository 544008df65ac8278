"""Hand-crafted features of one clip (paper, section III-B)."""

import librosa
import numpy as np

from hub_model.audio import SAMPLING_RATE

NUM_MFCC = 20


def mfcc_means(waveform: np.ndarray) -> np.ndarray:
    """The 20 Mel-frequency cepstral coefficients, each the mean over frames.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.

    Returns:
        float32 (20,), with librosa's own frame length and hop.
    """
    mfcc = librosa.feature.mfcc(y=waveform, sr=SAMPLING_RATE, n_mfcc=NUM_MFCC)
    return mfcc.mean(axis=1).astype(np.float32)

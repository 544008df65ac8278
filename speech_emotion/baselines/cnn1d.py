"""The 1-D CNN of Table 5 on the 94 features of every frame (paper, section III-C.2).

The table leaves open what goes in and how wide two of the dense layers are. The text speaks of
patterns over time in the MFCCs "and other features", so a clip is a sequence of frames with the 94
features as channels; 3 s are 94 frames. With dense layers of 128 and 64 that makes 2,251,271
weights.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hub_model.audio import SAMPLING_RATE
from hub_model.labels import EMOTIONS
from speech_emotion.baselines.classical import check_feature_version
from speech_emotion.baselines.clips import Clips
from speech_emotion.baselines.features import (
    FEATURE_NAMES,
    FEATURE_VERSION,
    HOP,
    MEL,
    frame_features,
)
from speech_emotion.baselines.neural import Blocks, clip_probabilities, logits_of

KERNEL = 8
WEIGHTS = "model.safetensors"

# Padding for a kernel of even width is one longer at the end; torch warns about the copy.
warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")


class Cnn1d(nn.Module):
    """Table 5, line by line.

    Args:
        frames: length of the input.
        dense: widths of the two hidden dense layers.
        dropout: of the three dropout layers.
    """

    def __init__(self, *, frames: int, dense: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.settings = {"frames": frames, "dense": list(dense), "dropout": dropout}
        channels = len(FEATURE_NAMES)
        # Standardisation is part of the weights: fitted on train, the same in serving.
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.layers = nn.Sequential(
            *_convolutions(channels, 256, 256),
            nn.BatchNorm1d(256),
            nn.Dropout(dropout),
            *_convolutions(256, 128, 128, 128, 128),
            nn.BatchNorm1d(128),
            nn.Dropout(dropout),
            *_convolutions(128, 64, 64),
            nn.Flatten(),
            nn.Linear(64 * frames, dense[0]),
            nn.ReLU(),
            nn.Linear(dense[0], dense[1]),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(dense[1], len(EMOTIONS)),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (batch, 7) of features (batch, frames, 94), NaN after the end of the clip.

        The softmax of the table is part of the loss, and of :func:`clip_probabilities`.
        """
        standard = (features - self.mean) / self.deviation
        return self.layers(torch.nan_to_num(standard).transpose(1, 2))

    def penalty(self, *, l1: float, l2: float) -> torch.Tensor:
        """L1 and L2 regularisation of the kernels of all convolutions and dense layers."""
        kernels = [m.weight for m in self.layers if isinstance(m, nn.Conv1d | nn.Linear)]
        return sum(l1 * kernel.abs().sum() + l2 * kernel.square().sum() for kernel in kernels)


def _convolutions(channels: int, *widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv1d(channels, width, KERNEL, padding="same"), nn.ReLU()]
        channels = width
    return layers


def num_frames(seconds: float) -> int:
    """Frames of a clip of this length.

    >>> num_frames(3.0)
    94
    """
    return 1 + int(seconds * SAMPLING_RATE) // HOP


def clip_input(waveform: np.ndarray, *, frames: int) -> np.ndarray:
    """The features of a clip's frames, cut to the middle or padded with NaN.

    The mel bands are in decibels: their power spans eight decades, so that a few loud frames
    would dominate the standardised values.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.
        frames: length of the input.

    Returns:
        float32 (frames, 94).
    """
    values = frame_features(waveform)
    values[:, MEL] = 10 * np.log10(np.maximum(values[:, MEL], 1e-10))
    values = values[max(0, len(values) - frames) // 2 :][:frames]
    return np.pad(values, ((0, frames - len(values)), (0, 0)), constant_values=np.nan)


def new_model(
    *, seconds: float = 3.0, dense: Sequence[int] = (128, 64), dropout: float = 0.6
) -> Cnn1d:
    """The network with random weights.

    Args:
        seconds: length of the input.
        dense: widths of the two hidden dense layers, which the table leaves open.
        dropout: of all three dropout layers (Table 5).
    """
    return Cnn1d(frames=num_frames(seconds), dense=dense, dropout=dropout)


def standardise(model: Cnn1d, train: np.ndarray) -> None:
    """Fit the standardisation on all frames of the training clips.

    Args:
        train: float32 (num_clips, frames, 94), NaN after the end of a clip.
    """
    frames = train.reshape(-1, train.shape[-1])
    deviation = np.nanstd(frames, axis=0, dtype=np.float64)
    model.mean.copy_(torch.from_numpy(np.nanmean(frames, axis=0, dtype=np.float64)))
    model.deviation.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))


def to_blocks(clips: Clips[np.ndarray]) -> Blocks:
    """Every clip is one block."""
    return Blocks(
        inputs=np.stack(clips.values),
        targets=clips.labels,
        clips=np.arange(len(clips.values)),
        labels=clips.labels,
    )


def description(model: Cnn1d) -> dict[str, Any]:
    """The content of config.json, for :func:`load`."""
    return {
        "family": "cnn1d",
        "feature_version": FEATURE_VERSION,
        "features": list(FEATURE_NAMES),
        "labels": list(EMOTIONS),
        "model": model.settings,
    }


@dataclass(frozen=True, kw_only=True)
class Cnn1dBaseline:
    """A trained network; see :class:`baselines.Baseline`."""

    config: dict[str, Any]
    model: Cnn1d

    def predict_proba(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the seven emotions, float64 (num_waveforms, 7)."""
        frames = self.config["model"]["frames"]
        inputs = np.stack([clip_input(waveform, frames=frames) for waveform in waveforms])
        return clip_probabilities(logits_of(self.model, inputs), np.arange(len(inputs)))


def save(model: nn.Module, folder: Path) -> None:
    """Write the weights."""
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)


def load(folder: Path, config: dict[str, Any]) -> Cnn1dBaseline:
    """Load a saved baseline; see :func:`baselines.load`."""
    check_feature_version(folder, config)
    model = Cnn1d(**config["model"])
    model.load_state_dict(load_file(folder / WEIGHTS))
    return Cnn1dBaseline(config=config, model=model.eval())

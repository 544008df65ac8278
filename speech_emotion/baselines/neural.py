"""Inputs and predictions of the neural baselines.

Inputs are blocks: one or several a clip, each with a class. The probabilities of a clip are the
mean over its blocks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from hub_model.labels import EMOTIONS


@dataclass(frozen=True, kw_only=True)
class Blocks(Dataset):
    """Inputs of a network, clip after clip.

    Attributes:
        inputs: (num_blocks, ...), one row an input; may lie on disk.
        targets: int (num_blocks,), class of each block.
        clips: int (num_blocks,), number of the clip of each block.
        labels: int (num_clips,), emotion id of each clip.
    """

    inputs: np.ndarray
    targets: np.ndarray
    clips: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        return np.array(self.inputs[index]), int(self.targets[index]), int(self.clips[index])


def clip_probabilities(logits: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Probabilities of each clip from the logits of its blocks.

    Args:
        logits: float (num_blocks, 7 x n): n classes an emotion, such as one a gender, those of an
            emotion side by side.
        clips: int (num_blocks,), number of the clip of each block, 0 to num_clips - 1.

    Returns:
        float64 (num_clips, 7): the mean over blocks of the probabilities, those of an emotion's
        classes summed.
    """
    logits = logits.astype(np.float64)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    folded = chances.reshape(len(chances), len(EMOTIONS), -1).sum(axis=2)
    sums = np.zeros((clips.max() + 1, len(EMOTIONS)))
    np.add.at(sums, clips, folded)
    return sums / np.bincount(clips)[:, None]


@torch.no_grad()
def logits_of(model: torch.nn.Module, inputs: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
    """Logits of inputs, in evaluation mode: float32 (num_inputs, classes)."""
    model.eval()
    found = [
        model(torch.from_numpy(inputs[start : start + batch_size])).numpy()
        for start in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(found)

"""Batches of waveforms and teacher frames, drawn from a cache."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hub_model.audio import SAMPLING_RATE
from recipes.mini.teacher import FrameCache

NEIGHBOURS = 8
"""A batch is drawn from this many times its size of clips with lengths next to each other."""

SAMPLE = 32
"""Number of clips from which the loudness of the bands of speech is measured."""


def sample_batch(
    cache: FrameCache,
    clips: np.ndarray,
    config: Any,
    extractor: Any,
    generator: np.random.Generator,
    distort: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick clips of about one length, cut to the shortest, with the teacher's frames for them.

    All start with their first sample, because the teacher's states depend on the position in the
    clip.

    Args:
        clips: numbers of the clips to choose from, shortest first.
        config: a ``DistillConfig``.
        distort: changes the input of the student, and not its length.
    """
    near = min(len(clips), NEIGHBOURS * config.per_device_train_batch_size)
    first = generator.integers(len(clips)) - near // 2
    first = min(max(first, 0), len(clips) - near)
    picked = first + generator.integers(near, size=config.per_device_train_batch_size)
    frames = min(cache.frames(clips[i]) for i in picked)
    waveforms, targets = [], []
    for index in picked:
        waveform, target = cache.cut(clips[index], 0, frames)
        waveforms.append(distort(waveform) if distort else waveform)
        targets.append(target)
    inputs = extractor(waveforms, sampling_rate=SAMPLING_RATE, return_tensors="pt", padding=True)
    return inputs["input_values"], torch.from_numpy(np.stack(targets))


def speech_sample(cache: FrameCache, clips: np.ndarray, extractor: Any) -> torch.Tensor:
    """Standardised speech from all over the cache, float32 ``(clips, num_samples)``."""
    picked = clips[np.linspace(0, len(clips) - 1, SAMPLE).astype(int)]
    frames = cache.frames(picked[0])
    waveforms = [cache.cut(index, 0, frames)[0] for index in picked]
    return extractor(waveforms, sampling_rate=SAMPLING_RATE, return_tensors="pt")["input_values"]

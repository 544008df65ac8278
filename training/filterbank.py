"""A first convolution that starts as a mel-spaced bank of windowed sinusoids."""

import math

import numpy as np
import torch
from torch import nn

from hub_model.audio import SAMPLING_RATE

WINDOW_S = 0.025
LOWEST_HZ, HIGHEST_HZ = 60.0, 7800.0
PHASES = 4
"""Quarter turns apart: after rectification their sum is nearly the envelope of the band."""


@torch.no_grad()
def start_as_filterbank(conv: nn.Conv1d) -> None:
    """Replace the random filters of a convolution over the waveform.

    A network that starts here need not find out first what a spectrum is. Nothing is taken from
    another model: the filters are Hann windows of 25 ms times sinusoids, equally spaced on the
    mel scale, each in four phases, with unit energy.

    Args:
        conv: one input channel; its output channels are a multiple of four.

    Raises:
        ValueError: another number of channels.
    """
    if conv.in_channels != 1 or conv.out_channels % PHASES:
        raise ValueError(
            f"a filterbank needs 1 input channel and a multiple of {PHASES} output channels"
        )
    length = conv.kernel_size[0]
    time = (np.arange(length) - (length - 1) / 2) / SAMPLING_RATE
    width = min(WINDOW_S, length / SAMPLING_RATE)
    window = np.where(np.abs(time) <= width / 2, np.cos(math.pi * time / width) ** 2, 0.0)
    low, high = (2595 * math.log10(1 + f / 700) for f in (LOWEST_HZ, HIGHEST_HZ))
    frequencies = 700 * (10 ** (np.linspace(low, high, conv.out_channels // PHASES) / 2595) - 1)
    turns = 2 * math.pi * np.arange(PHASES) / PHASES
    filters = window * np.cos(
        2 * math.pi * frequencies[:, None, None] * time + turns[:, None]
    )  # (bands, phases, length)
    filters = filters.reshape(-1, length)
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    conv.weight.copy_(torch.from_numpy(filters)[:, None])
    if conv.bias is not None:
        conv.bias.zero_()

"""Convolutions over the waveform that start as a mel-spaced bank of bands and their envelopes."""

import math

import numpy as np
import torch
from torch import nn

from hub_model.audio import SAMPLING_RATE

WINDOW_S = 0.025
LOWEST_HZ, HIGHEST_HZ = 60.0, 7800.0
PHASES = 4
"""Quarter turns apart: after rectification their sum is nearly the envelope of the band."""

LOUDNESS = 8
"""Last outputs of the first convolution, which stay constant. The layer norm behind it divides a
frame by its loudness; what becomes of the constants tells the next layer how loud it was."""

GAINS = (1.0, -1.0, 2.0)
"""An envelope is passed on once with each, so that what follows can bend it like a logarithm."""


def check_filterbank(layers: nn.ModuleList) -> None:
    """Refuse convolutions that cannot start as a filterbank.

    Raises:
        ValueError: another first convolution than :func:`start_as_filterbank` takes.
    """
    conv = layers[0].conv
    if (
        conv.in_channels != 1
        or conv.out_channels % PHASES
        or conv.out_channels <= LOUDNESS
        or conv.bias is None
    ):
        raise ValueError(
            f"a filterbank needs 1 input channel, a bias, and a multiple of {PHASES} output "
            f"channels above {LOUDNESS}"
        )


@torch.no_grad()
def start_as_filterbank(layers: nn.ModuleList, speech: torch.Tensor) -> None:
    """Replace the random filters of the first convolutions of a HuBERT with layer norm.

    The network then does not need to learn spectral analysis first. Nothing is taken from another
    model: the filters are Hann windows of 25 ms times sinusoids, equally spaced on the
    mel scale, each in four phases, and so strong that all bands of ``speech`` are equally loud. A
    second convolution of one frame, where there is one, starts as the envelopes of the bands.

    Args:
        layers: ``conv_layers`` of the feature extractor. The first has one input channel, a bias
            and a multiple of four output channels, of which the last :data:`LOUDNESS` become
            constants.
        speech: float32 ``(clips, num_samples)``, standardised, at 16 kHz.

    Raises:
        ValueError: as :func:`check_filterbank`.
    """
    check_filterbank(layers)
    conv = layers[0].conv
    conv.weight.copy_(_bands(conv.kernel_size[0], conv.out_channels // PHASES))
    conv.bias.zero_()
    conv.weight /= (
        conv(speech[:, None]).square().mean(dim=(0, 2)).sqrt().clamp(min=1e-6)[:, None, None]
    )
    conv.weight[-LOUDNESS:] = 0
    conv.bias[-LOUDNESS:] = torch.linspace(0.3, 1.0, LOUDNESS)
    conv.bias[1 - LOUDNESS :: 2] *= -1
    if len(layers) > 1 and layers[1].conv.kernel_size == (1,):
        _start_as_envelopes(layers[1].conv, (conv.out_channels - LOUDNESS) // PHASES)


def _bands(length: int, bands: int) -> torch.Tensor:
    """Filters of unit energy, ``(bands * phases, 1, length)``, the phases of a band together."""
    time = (np.arange(length) - (length - 1) / 2) / SAMPLING_RATE
    width = min(WINDOW_S, length / SAMPLING_RATE)
    window = np.where(np.abs(time) <= width / 2, np.cos(math.pi * time / width) ** 2, 0.0)
    low, high = (2595 * math.log10(1 + f / 700) for f in (LOWEST_HZ, HIGHEST_HZ))
    frequencies = 700 * (10 ** (np.linspace(low, high, bands) / 2595) - 1)
    turns = 2 * math.pi * np.arange(PHASES) / PHASES
    filters = window * np.cos(
        2 * math.pi * frequencies[:, None, None] * time + turns[:, None]
    )  # (bands, phases, length)
    filters = filters.reshape(-1, 1, length)
    return torch.from_numpy(filters / np.linalg.norm(filters, axis=2, keepdims=True))


def _start_as_envelopes(conv: nn.Conv1d, bands: int) -> None:
    nn.init.normal_(conv.weight, std=0.02)
    for output in range(conv.out_channels):
        band, gain = output % bands, GAINS[output // bands % len(GAINS)]
        conv.weight[output, PHASES * band : PHASES * (band + 1), 0] += gain

import numpy as np
import pytest
import torch
from torch import nn

from training.filterbank import start_as_filterbank


def test_a_tone_excites_the_band_of_its_frequency_and_the_phase_does_not_matter():
    conv = nn.Conv1d(1, 128, 640, stride=160, bias=True)
    start_as_filterbank(conv)
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7800)), 32)
    centres = 700 * (10 ** (mels / 2595) - 1)
    for frequency in (300, 1000, 4000):
        waveform = torch.sin(2 * torch.pi * frequency / 16_000 * torch.arange(8000))[None, None]
        with torch.no_grad():
            rectified = conv(waveform).relu()[0].unflatten(0, (32, 4)).sum(1)  # (bands, frames)
        loudest = centres[rectified.mean(1).argmax()]
        assert abs(loudest - frequency) <= np.diff(centres)[np.searchsorted(centres, frequency) - 1]
        band = rectified[rectified.mean(1).argmax()]
        assert band.std() < 0.2 * band.mean()
    assert not conv.bias.any()
    torch.testing.assert_close(conv.weight.norm(dim=2), torch.ones(128, 1))


@pytest.mark.parametrize("conv", [nn.Conv1d(2, 8, 10), nn.Conv1d(1, 6, 10)])
def test_other_convolutions_are_refused(conv):
    with pytest.raises(ValueError, match="1 input channel and a multiple of 4 output channels"):
        start_as_filterbank(conv)

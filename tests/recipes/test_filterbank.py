import numpy as np
import pytest
import torch
from torch import nn
from transformers import HubertConfig, HubertModel

from recipes.mini.filterbank import LOUDNESS, start_as_filterbank

BANDS = 32


@pytest.fixture
def layers():
    config = HubertConfig(
        conv_dim=(4 * BANDS + LOUDNESS, 96, 32),
        conv_kernel=(640, 1, 3),
        conv_stride=(160, 1, 2),
        num_feat_extract_layers=3,
        conv_bias=True,
        feat_extract_norm="layer",
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return HubertModel(config).feature_extractor.conv_layers


@pytest.fixture
def speech():
    """Like speech in one thing: the higher the frequency, the less of it."""
    return torch.from_numpy(np.random.default_rng(0).normal(size=(4, 16_000)).cumsum(1)).float()


def test_a_tone_excites_the_band_of_its_frequency_and_the_phase_does_not_matter(layers, speech):
    start_as_filterbank(layers, speech)
    conv = layers[0].conv
    bands = BANDS + LOUDNESS // 4
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (60, 7800)), bands)
    centres = 700 * (10 ** (mels / 2595) - 1)
    strength = conv.weight.norm(dim=2)[:-LOUDNESS].view(BANDS, 4, 1)
    for frequency in (300, 1000, 4000):
        waveform = torch.sin(2 * torch.pi * frequency / 16_000 * torch.arange(8000))[None, None]
        with torch.no_grad():
            found = conv(waveform)[0, :-LOUDNESS].unflatten(0, (BANDS, 4)) / strength
        rectified = found.relu().sum(1)  # (bands, frames)
        loudest = centres[rectified.mean(1).argmax()]
        assert abs(loudest - frequency) <= np.diff(centres)[np.searchsorted(centres, frequency) - 1]
        band = rectified[rectified.mean(1).argmax()]
        assert band.std() < 0.2 * band.mean()


def test_all_bands_of_speech_are_equally_loud_and_the_loudness_has_outputs_of_its_own(
    layers, speech
):
    start_as_filterbank(layers, speech)
    with torch.no_grad():
        found = layers[0].conv(speech[:, None])
    deviation = found.square().mean((0, 2)).sqrt()
    torch.testing.assert_close(deviation[:-LOUDNESS], torch.ones(4 * BANDS))
    assert (found[:, -LOUDNESS:].std(dim=(0, 2)) == 0).all()
    # Behind the layer norm the constants are small in loud speech, and large in soft speech.
    loud, soft = (layers[0](scale * speech[:1, None])[0, -LOUDNESS::2].mean() for scale in (1, 0.1))
    assert soft > 2 * loud > 0


def test_the_second_convolution_starts_as_the_envelopes(layers, speech):
    start_as_filterbank(layers, speech)
    weight = layers[1].conv.weight[:, :, 0].detach()
    for output in (0, BANDS - 1, BANDS + 1, 2 * BANDS + 5):
        band, gain = output % BANDS, (1, -1, 2)[output // BANDS]
        expected = torch.zeros(weight.shape[1])
        expected[4 * band : 4 * band + 4] = gain
        assert (weight[output] - expected).abs().max() < 0.15


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(2, 12, 10),
        nn.Conv1d(1, 14, 10),
        nn.Conv1d(1, 8, 10),
        nn.Conv1d(1, 12, 10, bias=False),
    ],
)
def test_other_convolutions_are_refused(layers, speech, conv):
    layers[0].conv = conv
    with pytest.raises(ValueError, match="1 input channel, a bias, and a multiple of 4 output"):
        start_as_filterbank(layers, speech)

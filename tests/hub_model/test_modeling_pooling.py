"""Pooling over frames and layers against the same computation by hand."""

import pytest
import torch

from hub_model.modeling_hubert_bert import masked_mean, masked_std
from tests.helpers.model_answers import PROCESSOR, answer, one_by_one
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_models import (
    HUBERT,
    HUBERT_LAYER_NORM,
    tiny_config,
    tiny_model,
)


@pytest.mark.parametrize("encoder", [HUBERT, HUBERT_LAYER_NORM], ids=["group", "layer"])
def test_mean_and_deviation_of_all_layers_by_hand(encoder):
    settings = {"audio_pooling": "mean_std", "use_weighted_layer_sum": True}
    model = tiny_model(audio_config=encoder, **settings)
    weights = torch.tensor([0.5, -1.0, 2.0])
    model.layer_weights.data = weights
    inputs = PROCESSOR(audio=[CLIPS[0]])
    with torch.no_grad():
        layers = model.audio_model(inputs["input_values"], output_hidden_states=True).hidden_states
        found = model(**inputs).audio_embedding[0]
    layer_sum = (torch.stack(layers) * weights.softmax(-1)[:, None, None, None]).sum(0)[0]
    expected = torch.cat([layer_sum.mean(0), layer_sum.std(0, correction=0)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert found.shape == (model.config.audio_embedding_size,)


def test_layers_side_by_side_by_hand():
    model = tiny_model(audio_pooling="mean_std", concatenate_layers=True)
    inputs = PROCESSOR(audio=[CLIPS[0]])
    with torch.no_grad():
        layers = model.audio_model(inputs["input_values"], output_hidden_states=True).hidden_states
        found = model(**inputs).audio_embedding[0]
    moments = [[layer[0].mean(0), layer[0].std(0, correction=0)] for layer in layers]
    expected = torch.cat([vector for pair in moments for vector in pair])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert found.shape == (model.config.audio_embedding_size,) == (3 * 2 * 32,)


def test_layers_are_either_summed_or_side_by_side():
    with pytest.raises(ValueError, match="exclude each other"):
        tiny_config(use_weighted_layer_sum=True, concatenate_layers=True)


@pytest.mark.parametrize("layers", ["use_weighted_layer_sum", "concatenate_layers"])
def test_batch_equals_single_with_deviation_and_all_layers(layers):
    model = tiny_model(audio_pooling="mean_std", **{layers: True})
    singles = one_by_one(model, CLIPS, TEXTS)
    torch.testing.assert_close(answer(model, CLIPS, TEXTS), singles, atol=1e-4, rtol=0)


def test_deviation_without_a_clip_is_a_zero_vector():
    model = tiny_model(audio_pooling="mean_std")
    with torch.no_grad():
        embedding = model(**PROCESSOR(text=["kids"])).audio_embedding
    assert embedding.shape == (1, model.config.audio_embedding_size)
    assert not embedding.any()


def test_deviation_of_a_constant_has_a_gradient():
    frames = torch.ones(1, 3, 2, requires_grad=True)
    mask = torch.ones(1, 3)
    masked_std(frames, mask, masked_mean(frames, mask)).sum().backward()
    assert torch.isfinite(frames.grad).all()


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="audio_pooling must be mean or mean_std, not 'max'"):
        tiny_config(audio_pooling="max")

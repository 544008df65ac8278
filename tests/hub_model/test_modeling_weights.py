"""Models are saved and loaded whole, or refused."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForAudioClassification, BertModel, HubertModel

from hub_model.modeling_hubert_bert import HubertBertForEmotion
from tests.helpers.model_answers import answer
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_models import (
    BERT,
    tiny_config,
    tiny_model,
    tiny_pipeline,
)


def test_save_and_load_round_trip(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path)
    loaded = HubertBertForEmotion.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    assert torch.equal(answer(loaded, CLIPS, TEXTS), answer(model, CLIPS, TEXTS))


def test_half_precision_is_loaded_as_float32_unless_asked_for(tmp_path):
    model = tiny_model()
    expected = answer(model, CLIPS, TEXTS)
    model.half().save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.float16}
    for dtype in (None, "auto"):
        loaded = HubertBertForEmotion.from_pretrained(tmp_path, dtype=dtype)
        assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(answer(loaded, CLIPS, TEXTS), expected, atol=1e-2, rtol=0)
    for dtype in (torch.float16, torch.bfloat16):
        half = HubertBertForEmotion.from_pretrained(tmp_path, dtype=dtype)
        assert {weight.dtype for weight in half.parameters()} == {dtype}


@pytest.fixture
def checkpoint(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")

    def rewrite(**changes):
        for name, weight in changes.items():
            name = name.replace("__", ".")
            if weight is None:
                del weights[name]
            else:
                weights[name] = weight
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return tmp_path

    return rewrite


@pytest.mark.parametrize(
    ("changes", "problem", "named"),
    [
        ({"classifier__weight": None, "classifier__bias": None}, "missing", "classifier.bias"),
        ({"stray__weight": torch.ones(3)}, "unexpected", "stray.weight"),
        ({"classifier__weight": torch.ones(5, 48)}, "mismatched", "classifier.weight"),
    ],
    ids=["missing head", "unexpected key", "wrong shape"],
)
def test_a_model_with_random_parts_is_refused(checkpoint, changes, problem, named):
    folder = checkpoint(**changes)
    with pytest.raises(ValueError, match=problem) as error:
        HubertBertForEmotion.from_pretrained(folder)
    assert named in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_loading_info_can_be_asked_for(checkpoint):
    model, info = HubertBertForEmotion.from_pretrained(checkpoint(), output_loading_info=True)
    assert isinstance(model, HubertBertForEmotion)
    assert not info["missing_keys"]


def test_auto_class_refuses_a_missing_head_too(model_folder, tmp_path):
    folder = tmp_path / "headless"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing keys in the weights: classifier\.weight"):
        AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=True)


# Starting from pretrained encoders.


def test_from_encoders_keeps_their_weights(tmp_path):
    torch.manual_seed(3)
    config = tiny_config()
    hubert, bert = HubertModel(config.audio_config), BertModel(config.text_config)
    hubert.save_pretrained(tmp_path / "hubert")
    bert.half().save_pretrained(tmp_path / "bert")
    model = HubertBertForEmotion.from_encoders(
        str(tmp_path / "hubert"), str(tmp_path / "bert"), window_s=7.5
    )
    assert model.config.window_s == 7.5
    assert model.config.audio_config.hidden_size == 32
    for part, encoder in ((model.audio_model, hubert), (model.text_model, bert.float())):
        stored = encoder.state_dict()
        for name, weight in part.state_dict().items():
            assert torch.equal(weight, stored[name]), name
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not any(name.startswith("text_model.pooler") for name in model.state_dict())


def test_from_encoders_with_random_weights(tmp_path):
    HubertModel(tiny_config().audio_config).save_pretrained(tmp_path)
    model = HubertBertForEmotion.from_encoders(str(tmp_path), BERT)
    assert model.config.text_config.hidden_size == 16


def test_from_encoders_refuses_an_encoder_with_missing_weights(tmp_path):
    config = tiny_config().audio_config
    encoder = HubertModel(config)
    weights = encoder.state_dict()
    del weights["encoder.layer_norm.weight"]
    encoder.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(
        ValueError, match=r"no weights for encoder\.layer_norm\.weight \(1 in all\)"
    ):
        HubertBertForEmotion.from_encoders(str(tmp_path), BERT)


def test_from_encoders_names_what_cannot_be_found(tmp_path):
    with pytest.raises(OSError, match="no-such"):
        HubertBertForEmotion.from_encoders(str(tmp_path / "no-such"), BERT)


def test_from_encoders_takes_those_of_a_custom_checkpoint(tmp_path):
    whole = tiny_pipeline(training={"speakers": ["a"]})
    whole.save_pretrained(tmp_path)
    model = HubertBertForEmotion.from_encoders(str(tmp_path), str(tmp_path))
    for part in ("audio_model", "text_model"):
        before, after = (getattr(one, part).state_dict() for one in (whole.model, model))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert not torch.equal(model.classifier.weight, whole.model.classifier.weight)
    assert model.config.audio_config.training == {"speakers": ["a"]}
    audio_only = tiny_pipeline(use_text=False)
    audio_only.model.save_pretrained(tmp_path / "alone")
    with pytest.raises(ValueError, match="an audio-only model has no text encoder"):
        HubertBertForEmotion.from_encoders(BERT, str(tmp_path / "alone"))

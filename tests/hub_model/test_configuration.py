"""The settings that travel in config.json."""

import json

import pytest
from transformers import AutoConfig

from hub_model.audio import Cleaning
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.labels import EMOTIONS
from tests.helpers.tiny_models import tiny_config


def test_labels_keep_their_order(tmp_path):
    config = tiny_config()
    assert config.id2label == dict(enumerate(EMOTIONS))
    assert config.label2id == {name: i for i, name in enumerate(EMOTIONS)}
    config.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert list(stored["id2label"].values()) == list(EMOTIONS)
    assert HubertBertConfig.from_pretrained(tmp_path).id2label == config.id2label


def test_other_labels():
    config = tiny_config(id2label={0: "low", 1: "high"})
    assert config.num_labels == 2
    assert config.label2id == {"low": 0, "high": 1}
    assert tiny_config(num_labels=3).num_labels == 3


def test_config_round_trip(tmp_path):
    settings = {
        "audio_dropout": 0.2,
        "text_dropout": 0.3,
        "text_modality_dropout": 0.4,
        "audio_modality_dropout": 0.5,
        "cleaning": Cleaning(denoise=False, trim_db=40.0).to_dict(),
        "window_s": 9.0,
        "transcriber": "openai-whisper:base.en",
        "training": {"data": ["ravdess"], "seed": 3},
    }
    tiny_config(**settings).save_pretrained(tmp_path)
    loaded = HubertBertConfig.from_pretrained(tmp_path)
    assert {name: getattr(loaded, name) for name in settings} == settings
    assert loaded.audio_config.conv_dim in ([16] * 7, (16,) * 7)
    assert loaded.to_dict() == HubertBertConfig.from_pretrained(tmp_path).to_dict()


def test_defaults_are_hubert_base_and_bert_base():
    config = HubertBertConfig()
    assert (config.audio_config.model_type, config.audio_config.hidden_size) == ("hubert", 768)
    assert (config.text_config.model_type, config.text_config.hidden_size) == ("bert", 768)
    assert config.cleaning == Cleaning().to_dict()


def test_saved_config_says_which_code_serves_it(model_folder):
    stored = json.loads((model_folder / "config.json").read_text())
    assert stored["auto_map"]["AutoModelForAudioClassification"] == (
        "modeling_hubert_bert.HubertBertForEmotion"
    )
    assert stored["custom_pipelines"]["audio-classification"]["impl"] == (
        "pipeline_hubert_bert.SpeechTextEmotionPipeline"
    )
    config = AutoConfig.from_pretrained(model_folder, trust_remote_code=True)
    assert config.model_type == "hubert_bert"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"audio_dropout": 1.5}, "audio_dropout must be 0 to 1, not 1.5"),
        ({"text_dropout": -0.1}, "text_dropout must be 0 to 1"),
        ({"text_modality_dropout": 2}, "text_modality_dropout must be 0 to 1"),
        ({"audio_modality_dropout": -1}, "audio_modality_dropout must be 0 to 1"),
        ({"window_s": 0}, "window_s must be"),
        ({"window_s": 0.05}, "window_s must be"),
        ({"cleaning": {"loudness": 3}}, "unknown cleaning setting: loudness"),
        ({"cleaning": {"trim_db": -3}}, "trim_db must be positive"),
    ],
)
def test_config_refuses(setting, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(**setting)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be positive"):
        tiny_config(temperature=temperature)

import json

import pytest
import torch
from datasets import ClassLabel, Dataset
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    HubertConfig,
    HubertModel,
    Wav2Vec2FeatureExtractor,
)

from hub_model.audio import Cleaning
from hub_model.labels import EMOTIONS
from speech_emotion.training.build import build_model
from speech_emotion.training.config import ConfigError, TrainConfig
from tests.helpers.tiny_models import tiny_pipeline
from tests.helpers.toy_corpus import AUDIO, MODEL, TEXT

TRANSCRIPTS = ["Kids are talking by the door", None, "Leave me"]
ROWS = Dataset.from_dict({"transcript": TRANSCRIPTS, "label": [0, 1, 2]}).cast_column(
    "label", ClassLabel(names=list(EMOTIONS))
)


def build(**settings):
    return build_model(TrainConfig(**{"model": MODEL, **settings}), ROWS)


def test_sizes_follow_the_config_and_the_vocabulary():
    model, processor = build(tokenizer={"vocab_size": 150})
    assert model.audio_model.config.hidden_size == 32
    assert model.classifier.in_features == 32 + 16
    assert model.config.text_config.vocab_size == len(processor.tokenizer)
    assert len(processor.tokenizer("kids " * 50, truncation=True)["input_ids"]) == 16
    assert processor.feature_extractor.return_attention_mask


def test_words_of_the_corpus_are_whole_and_others_are_spelt():
    _, processor = build(tokenizer={"vocab_size": 400})
    tokenizer = processor.tokenizer
    assert tokenizer.tokenize("KIDS are talking") == ["kids", "are", "talking"]
    spelt = tokenizer.tokenize("xylophone quiz 42?")
    assert tokenizer.unk_token not in spelt
    assert "".join(spelt).replace("##", "") == "xylophonequiz42?"


def test_texts_give_words_to_the_vocabulary(tmp_path):
    (tmp_path / "comments.txt").write_text("wonderful\n" * 5)
    _, processor = build(tokenizer={"vocab_size": 400, "texts": [str(tmp_path / "comments.txt")]})
    assert processor.tokenizer.tokenize("wonderful") == ["wonderful"]


def test_pretrained_encoders_keep_their_weights_and_their_tokenizer(tmp_path):
    audio = HubertModel(HubertConfig(**AUDIO))
    audio.save_pretrained(tmp_path / "audio")
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(tmp_path / "audio")
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "kids")
    text = BertModel(BertConfig(**TEXT, **{"vocab_size": len(words)}))
    text.save_pretrained(tmp_path / "text")
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(
        tmp_path / "text"
    )
    folders = {f"{name}_config": str(tmp_path / name) for name in ("audio", "text")}
    model, processor = build(model=folders)
    for name, value in audio.state_dict().items():
        assert torch.equal(model.audio_model.state_dict()[name], value)
    for name, value in text.state_dict().items():
        assert name.startswith("pooler") or torch.equal(model.text_model.state_dict()[name], value)
    assert processor.tokenizer.get_vocab().keys() == set(words)
    assert processor.feature_extractor.return_attention_mask


def test_what_was_fitted_to_the_classifier_of_a_checkpoint_is_not_kept(tmp_path):
    """A bias or mean logits of the old weights would be applied to new ones."""
    fitted = {"logit_bias": [0.5] * 7, "text_only_classifier": True, "temperature": 3.0}
    fitted["class_mean_logits"] = [[1.0] * 7] * 7
    start = tiny_pipeline(**fitted)
    start.save_pretrained(tmp_path)
    model, _ = build(init_from=str(tmp_path), model={})
    assert torch.equal(model.classifier.weight, start.model.classifier.weight)
    found = model.config.class_mean_logits, model.config.logit_bias, model.config.temperature
    assert found == (None, None, 1.0) and not model.config.text_only_classifier
    assert model.text_only_classifier is None


def test_the_model_cleans_as_its_corpus_was_cleaned(tmp_path, offline):
    cleaning = Cleaning(denoise=False).to_dict()
    (tmp_path / "build.json").write_text(json.dumps({"settings": {"cleaning": cleaning}}))
    model, _ = build(data=str(tmp_path))
    assert model.config.cleaning == cleaning
    model, _ = build(data=str(tmp_path), model={**MODEL, "cleaning": {"trim": False}})
    assert model.config.cleaning == Cleaning(trim=False).to_dict()
    model, _ = build(data="nobody/nothing")
    assert model.config.cleaning == Cleaning().to_dict()


@pytest.mark.parametrize(
    ("audio", "text", "message"),
    [
        ({"hidden": 4}, {}, "unknown key in audio_config: hidden"),
        ({}, {"layers": 4}, "unknown key in text_config: layers"),
        ({"conv_dim": [16] * 3}, {}, "len"),
        ({"hidden_size": "wide"}, {}, "expected int, got str"),
        ({"hidden_size": 33}, {}, "divisible"),
        ({"model_type": "nothing"}, {}, "Unrecognized model type"),
        ({}, {"hidden_act": "nothing"}, "nothing"),
    ],
)
def test_settings_that_the_encoders_refuse_are_one_line(audio, text, message):
    settings = {"audio_config": {**AUDIO, **audio}, "text_config": {**TEXT, **text}}
    with pytest.raises(ConfigError) as refused:
        build(model=settings)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_missing_encoder_is_named(tmp_path):
    missing = str(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=f"cannot be built from {missing}"):
        build(model={**MODEL, "audio_config": missing})

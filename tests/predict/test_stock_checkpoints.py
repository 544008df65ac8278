"""Stock checkpoints read and written: the same results as the stock classes give."""

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    BertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    pipeline,
)

from hub_model.labels import EMOTIONS
from speech_emotion.predict.loading import load_classifier
from speech_emotion.predict.stock_checkpoints import load_stock_checkpoint, save_stock_checkpoint
from tests.helpers.answers import same
from tests.helpers.sounds import CLIPS
from tests.helpers.tiny_encoders import SPEECH, WHISPER
from tests.helpers.tiny_models import HUBERT, tiny_config, tiny_model, tiny_pipeline

LABELS = dict(enumerate(EMOTIONS))


def write_stock(folder, encoder: str, **settings):
    """A stock checkpoint with random weights."""
    torch.manual_seed(0)
    config = dict(SPEECH[encoder])
    model = AutoModelForAudioClassification.from_config(
        AutoConfig.for_model(
            config.pop("model_type"),
            **config | {"id2label": LABELS, "classifier_proj_size": 12, **settings},
        )
    ).eval()
    torch.nn.init.normal_(model.classifier.weight, std=5)
    torch.nn.init.normal_(model.projector.bias)
    if settings.get("use_weighted_layer_sum"):
        torch.nn.init.normal_(model.layer_weights)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return model


@pytest.mark.parametrize("encoder", [name for name in SPEECH if name != "whisper"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_answers_as_the_stock_pipeline_does(encoder, weighted, tmp_path, monkeypatch):
    monkeypatch.setattr("hub_model.labels.HIGHEST", 1.0)  # which the stock pipeline does not have
    write_stock(tmp_path, encoder, use_weighted_layer_sum=weighted)
    stock = pipeline("audio-classification", model=str(tmp_path))
    ours = load_classifier(tmp_path)
    rows = ours(list(CLIPS))
    for clip, row in zip(CLIPS, rows, strict=True):
        same(row, stock(clip, top_k=None))


def test_it_says_that_it_reads_no_text(tmp_path):
    write_stock(tmp_path, "hubert-base")
    ours = load_classifier(tmp_path)
    row = ours(CLIPS[0], return_transcript=True)
    assert row["modalities"] == ["audio"]
    told = ours(CLIPS[0], text="kids are talking", return_transcript=True)
    assert told["modalities"] == ["audio"]
    same(told["emotions"], row["emotions"], atol=0)


def test_its_own_cleaning_and_labels_are_kept(tmp_path):
    cleaning = {"denoise": False, "trim": True, "trim_db": 25.0}
    write_stock(tmp_path, "hubert-base", cleaning=cleaning, id2label={0: "low", 1: "high"})
    model, _ = load_stock_checkpoint(tmp_path)
    assert model.config.cleaning["trim_db"] == 25.0 and not model.config.cleaning["denoise"]
    assert model.config.id2label == {0: "low", 1: "high"}
    assert model.classifier.out_features == 2


def test_without_cleaning_settings_a_clip_is_not_cleaned(tmp_path):
    write_stock(tmp_path, "hubert-base")
    model, _ = load_stock_checkpoint(tmp_path)
    assert not model.config.cleaning["denoise"] and not model.config.cleaning["trim"]


def test_an_emotion_model_is_loaded_as_ever(tmp_path):
    expected = tiny_pipeline()
    expected.save_pretrained(tmp_path)
    same(load_classifier(tmp_path)(CLIPS[0]), expected(CLIPS[0]), atol=1e-6)


def test_weights_that_are_missing_are_refused(tmp_path):
    model = write_stock(tmp_path, "hubert-base")
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier")}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(ValueError, match=r"missing keys in the weights: classifier\.bias"):
        load_classifier(tmp_path)


def test_other_classifiers_are_refused(tmp_path):
    config = tiny_config(audio_config=WHISPER).audio_config
    AutoModelForAudioClassification.from_config(config).save_pretrained(tmp_path / "whisper")
    WhisperFeatureExtractor().save_pretrained(tmp_path / "whisper")
    with pytest.raises(ValueError, match="WhisperForAudioClassification cannot be read"):
        load_classifier(tmp_path / "whisper")
    BertForSequenceClassification(tiny_config().text_config).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        load_classifier(tmp_path / "bert")


@pytest.mark.parametrize("encoder", ["hubert-base", "wavlm"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardized", [False, True])
def test_an_audio_only_model_needs_no_remote_code(encoder, weighted, standardized, tmp_path):
    model = tiny_model(
        audio_config=SPEECH[encoder],
        use_text=False,
        use_weighted_layer_sum=weighted,
        standardize_features=standardized,
        temperature=3.0,
        window_s=7.5,
    )
    if standardized:
        model.set_feature_statistics(torch.randn(32), 0.5 + torch.rand(32))
    if weighted:
        torch.nn.init.normal_(model.layer_weights)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    write_stock(tmp_path / "extractor", encoder)
    _, processor = load_stock_checkpoint(tmp_path / "extractor")
    save_stock_checkpoint(model, processor, tmp_path / "stock")
    assert not list((tmp_path / "stock").glob("*.py"))
    stock = pipeline("audio-classification", model=str(tmp_path / "stock"))
    for clip in CLIPS:
        with torch.no_grad():
            logits = model(extractor(clip, sampling_rate=16_000, return_tensors="pt").input_values)
        expected = (logits.logits[0] / 3.0).softmax(-1)
        found = {row["label"]: row["score"] for row in stock(clip, top_k=None)}
        for label, probability in zip(EMOTIONS, expected.tolist(), strict=True):
            assert found[label] == pytest.approx(probability, abs=1e-5)
    again, _ = load_stock_checkpoint(tmp_path / "stock")
    assert again.config.window_s == 7.5 and again.config.cleaning == model.config.cleaning
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "stock").return_attention_mask


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "audio-only"),
        ({"use_text": False, "audio_pooling": "mean_std"}, "by the mean"),
        ({"use_text": False, "audio_config": WHISPER}, "reads 30 s at a time"),
    ],
)
def test_what_a_stock_checkpoint_cannot_express_is_refused(settings, problem, tmp_path):
    model = tiny_model(**{"audio_config": HUBERT, **settings})
    with pytest.raises(ValueError, match=problem):
        save_stock_checkpoint(model, None, tmp_path)

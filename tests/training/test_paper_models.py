"""The paper's two models from their configs, with tiny encoders in the place of the real ones."""

import json

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import (
    AutoModelForAudioClassification,
    HubertForSequenceClassification,
    HubertModel,
    pipeline,
)

from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from speech_emotion.predict.loading import load_classifier
from speech_emotion.training import run as program
from speech_emotion.training.build import build_model, freeze, frozen_parts
from speech_emotion.training.config import UNFREEZE, ConfigError, TrainConfig
from speech_emotion.training.fit import kept
from tests.helpers.hub_models import write_bert, write_hubert
from tests.helpers.toy_corpus import tone
from tests.helpers.training_runs import ROOT, state

CONFIGS = ROOT / "configs"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Folders with the names of the real encoders."""
    root = tmp_path_factory.mktemp("encoders")
    write_hubert(root / "hubert-base-ls960")
    write_bert(root / "bert-base-uncased")
    return root


def settings_of(name, encoders, **changes):
    """What the config says, with folders for the ids of its encoders."""
    values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    for key, source in values["model"].items():
        if isinstance(source, str) and "/" in source and not source.startswith("runs/"):
            values["model"][key] = str(encoders / source.split("/")[1])
    ours = {"learning_rate": 1e-3, "warmup_steps": 2, "tokenizer": {}, "transcripts": "known"}
    return {**values, **ours, **changes}


@pytest.fixture(scope="module")
def audio_only(encoders, corpus, tmp_path_factory):
    """What ``hubert.yaml`` trains."""
    out = tmp_path_factory.mktemp("audio_only") / "hubert"
    settings = settings_of("hubert", encoders, data=str(corpus), output_dir=str(out))
    assert len(program.train(TrainConfig(**settings))) == 6
    return out


def test_the_audio_only_model_is_a_stock_one(audio_only):
    assert not list(audio_only.glob("*.py"))
    model = AutoModelForAudioClassification.from_pretrained(audio_only)
    assert isinstance(model, HubertForSequenceClassification)
    assert tuple(model.config.id2label[i] for i in range(7)) == EMOTIONS
    extractor = json.loads((audio_only / "preprocessor_config.json").read_text())
    assert extractor["do_normalize"] is True and extractor["return_attention_mask"] is True
    card = ModelCard.load(audio_only / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0" and "cc-by-nc-sa-4.0" in card.text
    assert card.data.pipeline_tag == "audio-classification"
    assert "toy-01" in model.config.training["speakers"]


def test_the_stock_pipeline_answers_as_ours(audio_only):
    clip = tone(300, seconds=0.7)
    stock = pipeline("audio-classification", model=str(audio_only))
    answer = {row["label"]: row["score"] for row in stock(clip, top_k=None)}
    ours = {row["label"]: row["score"] for row in load_classifier(audio_only)(clip, clean=False)}
    assert set(answer) == set(EMOTIONS)
    assert [ours[name] for name in EMOTIONS] == pytest.approx(
        [answer[name] for name in EMOTIONS], abs=1e-4
    )


def test_the_stock_weights_have_the_temperature_in_them(audio_only):
    training = json.loads((audio_only / "config.json").read_text())["training"]
    history = json.loads((state(audio_only, 6) / "history.json").read_text())
    assert training["temperature"] == kept(history)["temperature"] != 1.0


def test_half_precision_is_for_stock_models_as_well(run, encoders, tmp_path):
    settings = settings_of("hubert", encoders, num_train_epochs=1, save_dtype="float16")
    run("model", **settings | {"output_dir": str(tmp_path / "model")})
    model = AutoModelForAudioClassification.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.float16


@pytest.mark.parametrize("validation", ["split", "none"])
def test_the_joint_model_starts_from_the_audio_only_one(
    run, encoders, audio_only, tmp_path, validation
):
    changes = {"num_train_epochs": 1, "gradient_accumulation_steps": 1, "validation": validation}
    settings = settings_of("hubert_bert", encoders, **changes)
    settings["model"]["audio_config"] = str(audio_only)
    stock = AutoModelForAudioClassification.from_pretrained(audio_only)
    model, _ = build_model(TrainConfig(**settings), None)
    for name, weight in stock.hubert.state_dict().items():
        assert torch.equal(model.audio_model.state_dict()[name], weight)
    out = tmp_path / "model"
    history = run("model", **settings | {"output_dir": str(out)})
    assert ("ua" in history[0]) == (validation == "split")
    tuned = HubertBertForEmotion.from_pretrained(out)
    for part in ("audio_model", "text_model"):
        before, after = getattr(model, part).state_dict(), getattr(tuned, part).state_dict()
        assert any(not torch.equal(before[name], after[name]) for name in before)
    (stage,) = tuned.config.training["stages"]
    assert stage["stage"] == "fine-tuning" and stage["licences"] == {"ravdess": "cc-by-nc-sa-4.0"}


@pytest.mark.parametrize("regime", UNFREEZE)
def test_each_regime_trains_its_own_layers(encoders, regime):
    config = TrainConfig(**settings_of("hubert", encoders, unfreeze=regime))
    model, _ = build_model(config, None)
    freeze(model, frozen_parts(config, model), top_convolutions=2 if regime == "top2_conv" else 0)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    top = (
        "audio_model.feature_extractor.conv_layers.5",
        "audio_model.feature_extractor.conv_layers.6",
    )
    parts = {
        "head": lambda name: False,
        "top2_conv": lambda name: name.startswith(top),
        "partial": lambda name: "feature_extractor" not in name,
        "entire": lambda name: True,
    }
    wanted = {
        name
        for name, _ in model.named_parameters()
        if name.startswith("classifier") or parts[regime](name)
    }
    assert trained == wanted


@pytest.mark.parametrize("regime", UNFREEZE)
def test_each_regime_changes_what_it_trains_and_nothing_else(run, encoders, tmp_path, regime):
    settings = settings_of(
        "hubert", encoders, unfreeze=regime, num_train_epochs=2, learning_rate=1e-2
    )
    run("model", **settings | {"output_dir": str(tmp_path / "model"), "validation": "none"})
    after = AutoModelForAudioClassification.from_pretrained(tmp_path / "model").hubert.state_dict()
    before = HubertModel.from_pretrained(settings["model"]["audio_config"]).state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    convolutions = {name for name in changed if name.startswith("feature_extractor")}
    assert bool(changed) == (regime != "head")
    assert bool(convolutions) == (regime in ("top2_conv", "entire"))
    if regime == "top2_conv":
        assert {name.split(".")[2] for name in changed} == {"5", "6"} and changed == convolutions


def test_both_models_learn_two_pitches(run, encoders, tmp_path):
    settings = settings_of(
        "hubert", encoders, standardize=True, num_train_epochs=15, learning_rate=3e-2
    )
    history = run(
        "model",
        **settings | {"gradient_accumulation_steps": 1, "output_dir": str(tmp_path / "model")},
    )
    # Whether a random encoder tells the pitches of other speakers apart is a matter of its weights.
    assert history[-1]["train_loss"] < 0.05 * history[0]["train_loss"]
    stock = pipeline("audio-classification", model=str(tmp_path / "model"))
    loud = [stock(tone(200 + 150 * i, seconds=0.3), top_k=1)[0]["label"] for i in (0, 5)]
    assert loud == ["angry", "sad"] and np.isfinite(history[-1]["train_loss"])


def test_a_stock_checkpoint_pools_by_the_mean(encoders):
    settings = settings_of("hubert", encoders)
    settings["model"]["audio_pooling"] = "mean_std"
    with pytest.raises(ConfigError, match="stock_checkpoint needs an audio-only model"):
        build_model(TrainConfig(**settings), None)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_record_of_an_encoder_names_the_runs_that_trained_it(run, tmp_path, frozen):
    parts = ["audio_model", "text_model"] if frozen else []
    run("first", freeze=parts, num_train_epochs=1)
    model = {"audio_config": str(tmp_path / "first"), "use_text": False}
    run("second", model=model, freeze=["audio_model"], num_train_epochs=1)
    record = json.loads((tmp_path / "second/training_record.json").read_text())
    assert [stage["stage"] for stage in record["stages"]] == ([] if frozen else ["fine-tuning"])

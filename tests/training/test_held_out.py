"""The temperature from a cross-validation."""

import json

import numpy as np
import pandas as pd
import pytest

import train
from hub_model.labels import EMOTIONS
from speech_emotion.training.held_out import PREDICTIONS_FILE, held_out_temperature
from speech_emotion.training.parsing import ConfigError
from tests.helpers.toy_corpus import MODEL

SPEAKERS = [f"toy-{n:02}" for n in range(1, 7)]


def predictions(folder, *, sharpness, other=()):
    """Write predictions that are right as often as ``softmax(logits / sharpness)`` says."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (3000, 7))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = [draw.choice(7, p=row) for row in chances]
    table = pd.DataFrame(sharpness * logits, columns=[f"logit_{name}" for name in EMOTIONS])
    table["label"] = [EMOTIONS[index] for index in truth]
    table["predicted"] = [EMOTIONS[index] for index in logits.argmax(axis=1)]
    table["speaker_id"] = [[*SPEAKERS, *other][i % (6 + len(other))] for i in range(len(table))]
    table["fold"] = [i % 6 % 3 for i in range(len(table))]
    table["text"], table["corpus"] = "none", "toy"
    folder.mkdir(exist_ok=True)
    table.to_parquet(folder / PREDICTIONS_FILE)
    return str(folder)


def test_a_model_that_is_too_sure_gets_its_temperature(tmp_path):
    folder = predictions(tmp_path / "folds", sharpness=2.0)
    found = held_out_temperature(folder, speakers=SPEAKERS, labels=list(EMOTIONS))
    assert found["temperature"] == found["fitted"] == pytest.approx(2.0, rel=0.15)
    assert found["ece_with"] < 0.03 < found["ece_without"]
    assert (found["from"], found["clips"], found["speakers"]) == ("folds", 3000, 6)


def test_one_that_does_not_help_is_left_out(tmp_path):
    folder = predictions(tmp_path / "folds", sharpness=1.0)
    path = tmp_path / "folds" / PREDICTIONS_FILE
    table = pd.read_parquet(path)
    # One fold is far too sure and the others are right, so that they ask for opposite temperatures.
    logits = [name for name in table.columns if name.startswith("logit_")]
    table.loc[table["fold"] == 0, logits] *= 6
    table.to_parquet(path)
    found = held_out_temperature(folder, speakers=SPEAKERS, labels=list(EMOTIONS))
    assert found["ece_with"] > found["ece_without"] and found["fitted"] > 1.2
    assert found["temperature"] == 1.0


def test_clips_of_other_speakers_are_left_out(tmp_path):
    folder = predictions(tmp_path / "folds", sharpness=2.0, other=["stranger-1", "stranger-2"])
    found = held_out_temperature(folder, speakers=SPEAKERS, labels=list(EMOTIONS))
    assert (found["clips"], found["speakers"]) == (2250, 6)
    with pytest.raises(ConfigError, match="no two folds"):
        held_out_temperature(folder, speakers=["nobody"], labels=list(EMOTIONS))
    with pytest.raises(ConfigError, match="other labels"):
        held_out_temperature(folder, speakers=SPEAKERS, labels=["angry", "sad"])
    with pytest.raises(ConfigError, match="no finished cross-validation"):
        held_out_temperature(str(tmp_path), speakers=SPEAKERS, labels=list(EMOTIONS))


def test_the_checkpoint_and_its_card_say_where_it_comes_from(tmp_path, corpus):
    folds = predictions(tmp_path / "folds", sharpness=2.0)
    config = {
        "model": MODEL,
        "tokenizer": {"vocab_size": 100},
        "freeze": ["audio_model", "text_model"],
        "num_train_epochs": 1,
        "validation": "none",
        "temperature_from": folds,
        "data": str(corpus),
        "output_dir": str(tmp_path / "model"),
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert train.main(["--config", str(tmp_path / "config.yaml")]) == 0
    saved = json.loads((tmp_path / "model" / "config.json").read_text())
    fitted = saved["training"]["temperature_fit"]
    assert saved["temperature"] == fitted["temperature"] == pytest.approx(2.0, rel=0.15)
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"{fitted['clips']} clips of {fitted['speakers']}" in card

"""``speech-emotion info``, ``export --stock`` and ``push``; what they refuse in one line."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard
from transformers import pipeline

from hub_model.labels import EMOTIONS
from speech_emotion.cli.main import main
from speech_emotion.predict.stock_checkpoints import save_stock_checkpoint
from speech_emotion.training.model_card import weights_hash
from tests.helpers.made_results import TRAINING, made_results
from tests.helpers.tiny_encoders import SPEECH
from tests.helpers.tiny_models import tiny_model, tiny_pipeline, tiny_processor


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of a model that says what it learnt from."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    tiny_pipeline(training=TRAINING | {"speakers": ["a", "b"]}, temperature=2.0).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A ``HubertForSequenceClassification`` folder."""
    folder = tmp_path_factory.mktemp("stock") / "model"
    save_stock_checkpoint(tiny_model(use_text=False, training=TRAINING), tiny_processor(), folder)
    return folder


def refused(capsys, *command) -> str:
    assert main([str(word) for word in command]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("speech-emotion: ") and captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def test_info_tells_what_a_model_is(trained, capsys):
    assert main(["info", str(trained), "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"] == list(EMOTIONS)
    encoders = [facts["speech encoder"], facts["text encoder"]]
    assert [encoder["type"] for encoder in encoders] == ["hubert", "bert"]
    head = 7 * (32 + 16) + 7
    assert facts["parameters"] == sum(e["parameters"] for e in encoders) + head
    assert facts["licence"] == "cc-by-nc-sa-4.0"
    assert facts["learnt from"]["ravdess"] == "CC BY-NC-SA 4.0"
    assert facts["temperature"] == 2.0 and facts["calibrated"]
    assert facts["protocol"] == "speaker_disjoint" and facts["speakers"] == 2
    assert main(["info", str(trained)]) == 0
    shown = capsys.readouterr().out
    assert "angry, calm, disgust" in shown and "denoise_strength 0.5" in shown


def test_info_of_a_stock_checkpoint(stock, capsys):
    assert main(["info", str(stock), "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["text encoder"] == "none"
    assert facts["protocol"] == "speaker_disjoint"


def test_export_as_a_stock_checkpoint(stock, tmp_path, capsys):
    again = tmp_path / "again"
    assert main(["export", "--model", str(stock), "--stock", "--out", str(again)]) == 0
    assert "HubertForSequenceClassification" in capsys.readouterr().out
    classifier = pipeline("audio-classification", model=str(again))
    assert type(classifier.model).__name__ == "HubertForSequenceClassification"
    assert "not empty" in refused(capsys, "export", "--model", stock, "--stock", "--out", again)


def test_what_cannot_be_exported_is_one_line(trained, tmp_path, capsys):
    out = tmp_path / "out"
    assert "audio-only" in refused(capsys, "export", "--model", trained, "--stock", "--out", out)
    assert "--int8 needs --onnx" in refused(
        capsys, "export", "--model", trained, "--stock", "--int8", "--out", out
    )
    assert "no such folder" in refused(
        capsys, "export", "--model", tmp_path / "no", "--onnx", "--out", out
    )
    (tmp_path / "file").write_text("")
    assert "not a folder" in refused(
        capsys, "export", "--model", trained, "--onnx", "--out", tmp_path / "file"
    )
    assert not out.exists()


def test_push_shows_the_card_with_its_results(trained, tmp_path, capsys):
    results = tmp_path / "ravdess.json"
    results.write_text(json.dumps(made_results(weights_hash(trained), wa=0.5, ua=0.4)))
    command = ["push", "--model", str(trained), "--repo", "you/tiny", "--dry-run"]
    assert main([*command, "--results", str(results)]) == 0
    card = ModelCard(capsys.readouterr().out)
    assert card.data.model_name == "tiny"
    assert [entry.metric_value for entry in card.data.eval_results] == [50.0, 40.0]
    assert not (trained / "README.md").exists()  # the folder is as it was


def test_what_cannot_be_pushed_is_one_line(trained, tmp_path, capsys):
    push = ("push", "--repo", "you/tiny", "--model")
    assert "no such folder" in refused(capsys, *push, tmp_path / "no")
    damaged = tmp_path / "damaged"
    shutil.copytree(trained, damaged)
    (damaged / "model.safetensors").write_bytes(b"nothing")
    refused(capsys, *push, damaged)
    other = tmp_path / "other.json"
    other.write_text("[1]")
    assert "not written by" in refused(capsys, *push, trained, "--results", other)
    assert "cannot be read" in refused(capsys, *push, trained, "--results", tmp_path / "no.json")


def test_emotions_in_another_order_are_refused(trained, tmp_path, capsys):
    folder = tmp_path / "shuffled"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): label for i, label in enumerate(reversed(EMOTIONS))}
    config["label2id"] = {label: i for i, label in enumerate(reversed(EMOTIONS))}
    (folder / "config.json").write_text(json.dumps(config))
    assert "labels are in the order surprised, sad" in refused(capsys, "info", folder)


def test_encoders_of_any_kind_are_told(tmp_path, capsys):
    tiny_pipeline(audio_config=SPEECH["wavlm"]).save_pretrained(tmp_path)
    assert main(["info", str(tmp_path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["speech encoder"]["type"] == "wavlm"

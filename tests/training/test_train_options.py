"""Early stopping, curves, the Hub, and what happens when a checkpoint is cut short."""

import json

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from speech_emotion.training.saving import TrainingFailed
from tests.helpers.toy_corpus import AUDIO, SETTINGS
from tests.helpers.training_runs import ROOT, same, scored, state


def test_a_run_that_gets_no_better_stops(run, tmp_path):
    with scored([0.5, 0.9, 0.9, 0.7, 0.95]):
        history = run("model", num_train_epochs=5, patience=2)
    assert [row["ua"] for row in history] == [0.5, 0.9, 0.9, 0.7]
    assert json.loads((state(tmp_path / "model", 4) / "history.json").read_text()) == history


def test_a_stopped_run_stays_stopped(run):
    with scored([0.5, 0.4, 0.3]):
        history = run("model", num_train_epochs=5, patience=2)
    assert run("model", num_train_epochs=5, patience=2, resume=True) == history


def test_without_validation_the_last_epoch_is_kept(run, tmp_path, capsys, corpus, write_config):
    arguments = ["--config", write_config(), "--data", str(corpus)]
    arguments += ["--out", str(tmp_path / "model"), "--validation", "none"]
    assert train.main(arguments) == 0
    assert "epoch 3, the last, is kept" in capsys.readouterr().out
    kept = load_file(tmp_path / "model" / "model.safetensors")
    assert same(kept, load_file(state(tmp_path / "model", 3) / "model.safetensors"))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["temperature"] == 1.0
    assert config["training"]["train_clips"] == 16
    assert "validation_clips" not in config["training"]


def test_curves_are_written_for_tensorboard(run, tmp_path):
    history = run("model", report_to="tensorboard")
    (logs,) = {path.parent for path in (tmp_path / "model.state" / "logs").rglob("*tfevents*")}
    events = EventAccumulator(str(logs)).Reload()
    for name in ("train_loss", "validation_loss", "ua", "wa"):
        written = [(event.step, event.value) for event in events.Scalars(name)]
        assert written == [(row["epoch"], pytest.approx(row[name])) for row in history]
    rates = [event.value for event in events.Scalars("learning_rate")]
    assert rates[-1] == 0.0 < rates[0]


@pytest.mark.parametrize("private", [False, True])
def test_the_model_is_pushed_with_its_card(run, hub, tmp_path, monkeypatch, private):
    api = HfApi(endpoint=hub.url, token=hub.token)
    monkeypatch.setattr("corpus_builder.hub.HfApi", lambda: api)
    run(
        "model",
        num_train_epochs=1,
        push_to_hub=True,
        hub_model_id="owner/emotion",
        hub_private_repo=private,
    )
    assert api.model_info("owner/emotion").private is private
    assert {"config.json", "model.safetensors", "README.md", "modeling_hubert_bert.py"} <= set(
        api.list_repo_files("owner/emotion")
    )
    card = api.hf_hub_download("owner/emotion", "README.md", local_dir=tmp_path / "read")
    assert ModelCard.load(card).data.license == "cc-by-nc-sa-4.0"


def test_a_private_model_is_not_pushed_to_a_public_repo(run, hub, tmp_path, monkeypatch):
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/emotion")
    monkeypatch.setattr("corpus_builder.hub.HfApi", lambda: api)
    with pytest.raises(TrainingFailed, match="is a public repo already"):
        run(
            "model",
            num_train_epochs=1,
            push_to_hub=True,
            hub_model_id="owner/emotion",
            hub_private_repo=True,
        )
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert "model.safetensors" not in api.list_repo_files("owner/emotion")


@pytest.mark.parametrize(
    ("repo", "message"),
    [("owner/emo tion", "Repo id must"), ("guest/emotion", "the Hub refused")],
)
def test_a_push_that_cannot_be_done_keeps_the_model(run, hub, tmp_path, monkeypatch, repo, message):
    api = HfApi(endpoint=hub.url, token=hub.token)
    monkeypatch.setattr("corpus_builder.hub.HfApi", lambda: api)
    with pytest.raises(TrainingFailed, match=message):
        run("model", num_train_epochs=1, push_to_hub=True, hub_model_id=repo)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_masking_of_the_encoder_is_for_training_only(run):
    """What the encoder's own config says of masks over time and over features is used."""
    heavy = {**AUDIO, "mask_time_prob": 0.9, "mask_feature_prob": 0.5, "mask_feature_length": 4}
    model = {**SETTINGS["model"], "audio_config": heavy}
    light = {**heavy, "mask_time_prob": 1e-9, "mask_feature_prob": 0.0}
    # A rate so low that the weights stay: only the masks differ.
    settings = {"num_train_epochs": 1, "learning_rate": 1e-12}
    masked = run("masked", model=model, **settings)[0]
    plain = run("plain", model={**model, "audio_config": light}, **settings)[0]
    assert masked["train_loss"] != plain["train_loss"]
    assert masked["validation_loss"] == pytest.approx(plain["validation_loss"], abs=1e-5)


def test_a_trained_start_asks_no_questions(run, whole, monkeypatch):
    def ask(*_):
        raise AssertionError("asked whether the folder's code may run")

    monkeypatch.setattr("builtins.input", ask)
    run("model", init_from=str(whole[0]), model={}, num_train_epochs=1)


@pytest.mark.parametrize("name", ["ddp", "fsdp", "deepspeed_zero2"])
def test_launch_configs_are_read_by_accelerate(name):
    path = ROOT / "configs" / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))
    kinds = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "deepspeed_zero2": "DEEPSPEED"}
    assert config.distributed_type.value == kinds[name]
    assert set(yaml.safe_load(path.read_text())) <= set(vars(config))

import json

import pytest
import torch

from speech_emotion.training.config import FitConfig
from speech_emotion.training.fit import start
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.saving import (
    TrainingFailed,
    check_output_dir,
    check_settings,
    load_state,
    one_line,
    open_state,
    replaced_folder,
    restore_folder,
    save_state,
)
from tests.helpers.training_fixtures import reset_accelerate


def write(folder, text):
    folder.mkdir()
    (folder / "config.json").write_text(text)


def content(folder):
    return (folder / "config.json").read_text()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    out = tmp_path / "model"
    for text in ("first", "second"):
        with replaced_folder(out) as folder:
            write(folder, text)
            assert not out.exists() or content(out) == "first"
        assert content(out) == text
    assert names(tmp_path) == ["model"]


def test_a_failed_write_leaves_the_old_folder(tmp_path):
    out = tmp_path / "model"
    write(out, "first")
    with (
        pytest.raises(TrainingFailed, match=r"model cannot be saved \(.*No space left on device\)"),
        replaced_folder(out) as folder,
    ):
        write(folder, "half")
        raise OSError(28, "No space left on device")
    assert content(out) == "first" and names(tmp_path) == ["model"]


def test_a_kill_between_the_renames_is_mended(tmp_path):
    out = tmp_path / "model"
    write(tmp_path / "model.old", "first")
    write(tmp_path / "model.new", "second")
    restore_folder(out)
    assert content(out) == "first"
    restore_folder(out)
    with replaced_folder(out) as folder:
        write(folder, "third")
    assert content(out) == "third" and names(tmp_path) == ["model"]


@pytest.fixture
def accelerator(tmp_path):
    """Starts Accelerate anew for ``model``, with one weight to save."""

    def start_again():
        reset_accelerate()
        output_dir = str(tmp_path / "model")
        started = start(FitConfig(output_dir=output_dir))
        weight = torch.nn.Linear(1, 1)
        started.weight = started.prepare(weight)
        return started

    return start_again


def test_two_states_are_kept_and_the_last_whole_one_is_loaded(accelerator, tmp_path, capsys):
    first = accelerator()
    for epoch in range(12):
        torch.nn.init.constant_(first.weight.weight, epoch)
        save_state(first, [{"epoch": epoch}])
    states = tmp_path / "model.state" / "checkpoints"
    assert names(states) == ["checkpoint_10", "checkpoint_11"]
    (states / "checkpoint_11" / "history.json").unlink()  # killed before the state was whole
    again = accelerator()
    assert load_state(again) == [{"epoch": 10}]
    assert again.weight.weight.item() == 10
    assert names(states) == ["checkpoint_10"]
    save_state(again, [{"epoch": 11}])
    assert names(states) == ["checkpoint_10", "checkpoint_11"]
    assert "Deleting" not in capsys.readouterr().err


def test_a_state_of_an_earlier_release_is_loaded(accelerator, tmp_path):
    first = accelerator()
    torch.nn.init.constant_(first.weight.weight, 7)
    save_state(first, [{"epoch": 10}])
    root = tmp_path / "model.state"
    (root / "checkpoints" / "checkpoint_0").rename(root / "epoch_10")
    (root / "epoch_9").mkdir()
    (root / "epoch_11").mkdir()  # half-written
    again = accelerator()
    assert load_state(again) == [{"epoch": 10}] and again.weight.weight.item() == 7
    settings = {"batch_size": 4, "seed": 0}
    (root / "settings.json").write_text(json.dumps(settings))
    output_dir = str(tmp_path / "model")
    today = {"per_device_train_batch_size": 4, "seed": 0}
    open_state(again, output_dir, today, resume=True)
    with pytest.raises(ConfigError, match="with another per_device_train_batch_size"):
        open_state(again, output_dir, today | {"per_device_train_batch_size": 8}, resume=True)
    open_state(again, output_dir, today, resume=False)
    assert names(root) == ["settings.json"]
    assert load_state(again) == []


def test_a_state_is_resumed_with_its_own_settings_only(tmp_path):
    root = tmp_path / "model.state"
    check_settings(root, {"seed": 0, "per_device_train_batch_size": 4}, resume=True)
    check_settings(root, {"seed": 0, "per_device_train_batch_size": 4}, resume=True)
    with pytest.raises(
        ConfigError, match=r"cannot be resumed with another per_device_train_batch_size, seed"
    ):
        check_settings(root, {"seed": 1, "per_device_train_batch_size": 8}, resume=True)
    check_settings(root, {"seed": 1, "per_device_train_batch_size": 8}, resume=False)
    check_settings(root, {"seed": 1, "per_device_train_batch_size": 8}, resume=True)


def test_only_models_and_empty_folders_may_be_replaced(tmp_path):
    check_output_dir(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_output_dir(tmp_path / "empty")
    write(tmp_path / "model", "{}")
    check_output_dir(tmp_path / "model")
    with pytest.raises(ConfigError, match="holds files that are no model"):
        check_output_dir(tmp_path)
    with pytest.raises(ConfigError, match="a file, not a folder"):
        check_output_dir(tmp_path / "model" / "config.json")


def test_every_error_fits_on_one_line():
    assert one_line(ValueError("first\n  second")) == "first second"
    assert one_line(KeyError("size")) == "KeyError 'size'"
    assert one_line(RuntimeError()) == "RuntimeError"
    assert len(one_line(ValueError("x" * 999))) == 300

import pytest

from speech_emotion.training.config import ConfigError
from speech_emotion.training.saving import (
    TrainingFailed,
    check_out,
    check_settings,
    clear_states,
    one_line,
    replaced_folder,
    restore_folder,
)


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


def test_states_are_cleared_in_the_order_of_their_numbers(tmp_path):
    for name in ("epoch_2", "epoch_10", "epoch_9", "frames"):
        (tmp_path / name).mkdir()
    clear_states(tmp_path, keep=2)
    assert names(tmp_path) == ["epoch_10", "epoch_9", "frames"]
    clear_states(tmp_path)
    assert names(tmp_path) == ["frames"]
    clear_states(tmp_path, keep=2)
    assert names(tmp_path) == ["frames"]


def test_a_state_is_resumed_with_its_own_settings_only(tmp_path):
    root = tmp_path / "model.state"
    check_settings(root, {"seed": 0, "batch_size": 4}, resume=True)
    check_settings(root, {"seed": 0, "batch_size": 4}, resume=True)
    with pytest.raises(ConfigError, match=r"cannot be resumed with another batch_size, seed"):
        check_settings(root, {"seed": 1, "batch_size": 8}, resume=True)
    check_settings(root, {"seed": 1, "batch_size": 8}, resume=False)
    check_settings(root, {"seed": 1, "batch_size": 8}, resume=True)


def test_only_models_and_empty_folders_may_be_replaced(tmp_path):
    check_out(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_out(tmp_path / "empty")
    write(tmp_path / "model", "{}")
    check_out(tmp_path / "model")
    with pytest.raises(ConfigError, match="holds files that are no model"):
        check_out(tmp_path)
    with pytest.raises(ConfigError, match="a file, not a folder"):
        check_out(tmp_path / "model" / "config.json")


def test_every_error_fits_on_one_line():
    assert one_line(ValueError("first\n  second")) == "first second"
    assert one_line(KeyError("size")) == "KeyError 'size'"
    assert one_line(RuntimeError()) == "RuntimeError"
    assert len(one_line(ValueError("x" * 999))) == 300

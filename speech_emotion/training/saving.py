"""Saving so that neither a crash nor a full disk costs what was saved before."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from speech_emotion.training.config import ConfigError


class TrainingFailed(RuntimeError):
    """A run that cannot go on. The message is one line; what was saved before is kept."""


def one_line(error: BaseException) -> str:
    """Return the message of an error of any library as one line of at most 300 characters."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError):
        text = f"{type(error).__name__} {text}".strip()
    return text[:300]


def check_out(out: Path) -> None:
    """Refuse a place whose content would be lost; a saved model may be replaced.

    Raises:
        ConfigError: ``out`` is a file, or a folder that holds something else than a model.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: a file, not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "config.json").exists():
        raise ConfigError(f"--out {out}: holds files that are no model; name a new folder")


def restore_folder(out: Path) -> None:
    """Undo a :func:`replaced_folder` that was killed between its two renames."""
    old = Path(f"{out}.old")
    if old.exists() and not out.exists():
        old.rename(out)


@contextmanager
def replaced_folder(out: Path) -> Iterator[Path]:
    """Give a new folder to fill; it takes the place of ``out`` when the block ends well.

    Raises:
        TrainingFailed: it cannot be written; ``out`` is as it was.
    """
    new, old = Path(f"{out}.new"), Path(f"{out}.old")
    with refuse_failed_writes(out, leftover=new):
        restore_folder(out)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def save_state(accelerator: Accelerator, folder: Path, history: list[dict]) -> None:
    """Save everything that a run needs to go on; the state counts once its history is there.

    Args:
        folder: ends in ``_N``; the last with a history is the one that is loaded.
        history: figures so far.

    Raises:
        TrainingFailed: it cannot be written; older states are as they were.
    """
    with refuse_failed_writes(folder, leftover=folder):
        accelerator.save_state(folder)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            _write_json(folder / "history.json", history)
    accelerator.wait_for_everyone()


def load_state(accelerator: Accelerator, root: Path) -> list[dict]:
    """Load the last whole state under ``root`` and return its history; empty without any."""
    whole = [path.parent for path in root.glob("*_*/history.json")]
    if not whole:
        return []
    last = max(whole, key=_number)
    accelerator.load_state(last)
    return json.loads((last / "history.json").read_text())


def clear_states(root: Path, *, keep: int = 0) -> None:
    """Delete the saved states under ``root``, but the last ``keep``."""
    states = sorted((path for path in root.glob("*_*") if path.is_dir()), key=_number)
    for folder in states[: len(states) - keep]:
        shutil.rmtree(folder, ignore_errors=True)


def prepare_state(config: Any, record: dict[str, Any]) -> None:
    """Mend what a killed run left, and make sure that a resumed one is of the same settings.

    Args:
        config: a ``TrainConfig``.
        record: what the checkpoint will say of its training.

    Raises:
        ConfigError: the saved state was made with other settings, or on other clips.
    """
    out = Path(config.out)
    state = Path(f"{out}.state")
    restore_folder(out)
    settings = {**record["settings"], "model": config.model, "init_from": config.init_from}
    settings |= {key: value for key, value in record.items() if key.endswith("_fingerprint")}
    del settings["epochs"]  # a finished run may be resumed for more
    check_settings(state, settings, resume=config.resume)
    if not config.resume:
        clear_states(state)


def check_settings(root: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Note the settings of a new run, or compare those of a resumed one with them.

    Raises:
        ConfigError: the saved state was made with other settings.
    """
    path = root / "settings.json"
    if resume and path.exists():
        before = json.loads(path.read_text())
        other = [key for key, value in before.items() if settings.get(key) != value]
        if other:
            raise ConfigError(f"{root} cannot be resumed with another {', '.join(sorted(other))}")
    with refuse_failed_writes(path):
        root.mkdir(parents=True, exist_ok=True)
        _write_json(path, settings)


def _number(folder: Path) -> int:
    return int(folder.name.rsplit("_", 1)[1])


def _write_json(path: Path, value: Any) -> None:
    path.with_suffix(".tmp").write_text(json.dumps(value))
    path.with_suffix(".tmp").replace(path)


@contextmanager
def refuse_failed_writes(path: Path, *, leftover: Path | None = None) -> Iterator[None]:
    """Turn what a full disk raises (each library its own kind) into one line.

    Args:
        path: named in the message.
        leftover: folder that is deleted.

    Raises:
        TrainingFailed: the block failed to write.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if leftover is not None:
            shutil.rmtree(leftover, ignore_errors=True)
        raise TrainingFailed(f"{path} cannot be saved ({one_line(error)})") from error

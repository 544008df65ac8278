"""Saving so that neither a crash nor a full disk costs what was saved before."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors import SafetensorError

from speech_emotion.training.parsing import ConfigError, renamed

CHECKPOINTS = "checkpoints"
"""Folder of the saved states, as Accelerate names it; it numbers them from 0."""

HISTORY = "history.json"
"""Written last into a state: a state without it is not whole."""


class TrainingFailed(RuntimeError):
    """A run that cannot go on. The message is one line; what was saved before is kept."""


def one_line(error: BaseException) -> str:
    """Return the message of an error of any library as one line of at most 300 characters."""
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError):
        text = f"{type(error).__name__} {text}".strip()
    return text[:300]


def check_output_dir(folder: Path) -> None:
    """Refuse a folder whose content would be lost; a saved model may be replaced.

    Raises:
        ConfigError: it is a file, or a folder that holds something else than a model.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output_dir {folder}: a file, not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").exists():
        raise ConfigError(f"--output_dir {folder}: holds files that are no model; name a new one")


def restore_folder(folder: Path) -> None:
    """Undo a :func:`replaced_folder` that was killed between its two renames."""
    old = Path(f"{folder}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill; it replaces ``folder`` when the block ends without an error.

    Raises:
        TrainingFailed: it cannot be written; ``folder`` is as it was.
    """
    new, old = Path(f"{folder}.new"), Path(f"{folder}.old")
    with refuse_failed_writes(folder, leftover=new):
        restore_folder(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        yield new
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def state_folder(output_dir: str) -> Path:
    """Return the folder beside an output folder that holds what ``--resume`` needs."""
    return Path(f"{Path(output_dir)}.state")


def open_state(
    accelerator: Accelerator, output_dir: str, settings: dict[str, Any], *, resume: bool
) -> None:
    """Repair what a killed run left, and refuse to resume a run of other settings.

    A run that is not resumed deletes the states of the earlier run.

    Args:
        settings: everything that decides the trained weights.

    Raises:
        ConfigError: the saved state was made with other settings.
    """
    root = state_folder(output_dir)
    if accelerator.is_main_process:
        restore_folder(Path(output_dir))
        check_settings(root, settings, resume=resume)
        if not resume:
            for folder in (root / CHECKPOINTS, *_older_states(root)):
                shutil.rmtree(folder, ignore_errors=True)
    accelerator.wait_for_everyone()


def save_state(accelerator: Accelerator, history: list[dict[str, Any]]) -> None:
    """Save everything that a run needs to go on; the state counts once its history is there.

    Accelerate names the folder and deletes states beyond the limit of its project configuration.

    Raises:
        TrainingFailed: it cannot be written; the state before is as it was.
    """
    root = Path(accelerator.project_dir) / CHECKPOINTS
    folder = root / f"checkpoint_{accelerator.save_iteration}"
    with refuse_failed_writes(folder, leftover=folder):
        accelerator.save_state()
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            write_json(folder / HISTORY, history)
    accelerator.wait_for_everyone()


def load_state(accelerator: Accelerator) -> list[dict[str, Any]]:
    """Load the last whole state and return its history; empty when there is none.

    ``Accelerator.load_state()`` without a folder would take the newest state, whole or not, and
    would then number the next one from 0 again. Half-written states are deleted.
    """
    root = Path(accelerator.project_dir)
    states = sorted((root / CHECKPOINTS).glob("checkpoint_*"), key=_number)
    whole = [folder for folder in states if (folder / HISTORY).exists()]
    if accelerator.is_main_process:
        for folder in states:
            if folder not in whole:
                shutil.rmtree(folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    if whole:
        accelerator.project_configuration.iteration = _number(whole[-1]) + 1
    whole = whole or [path for path in _older_states(root) if (path / HISTORY).exists()]
    if not whole:
        return []
    accelerator.load_state(str(whole[-1]))
    return json.loads((whole[-1] / HISTORY).read_text(encoding="utf-8"))


def check_settings(root: Path, settings: dict[str, Any], *, resume: bool) -> None:
    """Note the settings of a new run, or compare those of a resumed one with them.

    Raises:
        ConfigError: the saved state was made with other settings.
    """
    path = root / "settings.json"
    if resume and path.exists():
        before = renamed(json.loads(path.read_text(encoding="utf-8")))
        other = [key for key, value in before.items() if settings.get(key) != value]
        if other:
            raise ConfigError(f"{root} cannot be resumed with another {', '.join(sorted(other))}")
    with refuse_failed_writes(path):
        root.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is whole or not there."""
    path.with_suffix(".tmp").write_text(json.dumps(value), encoding="utf-8")
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


def _older_states(root: Path) -> list[Path]:
    """States of earlier releases, ``epoch_N`` or ``step_N``, in their order."""
    found = [path for kind in ("epoch", "step") for path in root.glob(f"{kind}_*")]
    return sorted((path for path in found if path.is_dir()), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.rsplit("_", 1)[1])

"""Loading a model for a command, with one line for whatever is wrong with it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from speech_emotion.cli import CommandError

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "checkpoints" / "mini"


def quiet() -> None:
    """Silence what transformers prints while it loads; call it before it is imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def load_classifier(model: str, **options: Any) -> Any:
    """Load the pipeline of a folder or Hub id.

    Args:
        model: folder or Hub id of an audio classifier.
        options: keyword arguments of ``transformers.pipeline``.

    Raises:
        CommandError: it is nowhere, damaged, or no audio classifier.
    """
    quiet()
    from speech_emotion.predict.stock_checkpoints import load_classifier as load

    try:
        if not Path(model).exists() and not is_hub_id(model):
            raise OSError("no such folder")
        return load(model, **options)
    except Exception as error:  # a folder with a damaged file fails in many ways
        reason = one_line(error).removeprefix(f"{model}: ").rstrip(".")
        if is_hub_id(model):
            reason += "; a local model folder needs no network"
        raise CommandError(f"{model}: {reason}") from error


def is_plain(folder: Path) -> bool:
    """Whether a model folder holds a stock classifier of ``transformers``."""
    return _is_plain(_settings(folder))


def write_fitted(folder: Path, changed: dict[str, Any]) -> None:
    """Put what was fitted into a ``config.json``; the file is replaced whole or not at all.

    Raises:
        CommandError: it cannot be written.
    """
    from speech_emotion.predict.stock_checkpoints import FITTED

    path, settings = folder / "config.json", _settings(folder)
    if _is_plain(settings):
        settings[FITTED] = settings.get(FITTED, {}) | changed
    else:
        settings |= changed
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8"
        ) as file:
            file.write(json.dumps(settings, indent=2, sort_keys=True) + "\n")
        os.chmod(file.name, path.stat().st_mode)
        os.replace(file.name, path)
    except OSError as error:
        raise CommandError(f"{path}: cannot be written ({error.strerror})") from error


def _is_plain(settings: dict[str, Any]) -> bool:
    from hub_model.configuration_hubert_bert import HubertBertConfig

    return settings.get("model_type") != HubertBertConfig.model_type


def _settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def is_hub_id(model: str) -> bool:
    """Whether a name can only mean a repo on the Hub."""
    return not (Path(model).exists() or model.startswith((".", "/"))) and model.count("/") == 1


def one_line(error: Exception) -> str:
    """Shorten whatever a loader raised to the line that says why."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "See the original errors" in lines[0]:
        # transformers quotes whole tracebacks; the cause is the last line of the last one.
        return lines[-1].removeprefix("ValueError: ").removeprefix("OSError: ")
    known = isinstance(error, OSError | ValueError | ImportError)
    return lines[0] if known else f"cannot be loaded ({type(error).__name__}: {lines[0]})"

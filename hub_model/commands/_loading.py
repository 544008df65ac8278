"""Loading a model for a command, with one line for whatever is wrong with it."""

import os
from pathlib import Path
from typing import Any

from . import CommandError

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "checkpoints" / "mini"


def quiet() -> None:
    """Silence what transformers prints while it loads; call it before it is imported."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def load_recogniser(model: str, **options: Any) -> Any:
    """Load the pipeline of a folder or Hub id.

    Args:
        model: folder or Hub id of an audio classifier.
        options: keyword arguments of ``transformers.pipeline``.

    Raises:
        CommandError: it is nowhere, damaged, or no audio classifier.
    """
    quiet()
    from ..standalone import load_recogniser as load

    try:
        if not Path(model).exists() and not is_hub_id(model):
            raise OSError("no such folder")
        return load(model, **options)
    except Exception as error:  # a folder with a damaged file fails in many ways
        reason = one_line(error).removeprefix(f"{model}: ").rstrip(".")
        if is_hub_id(model):
            reason += "; a local model folder needs no network"
        raise CommandError(f"{model}: {reason}") from error


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

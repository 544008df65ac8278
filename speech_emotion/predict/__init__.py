"""Many recordings in, results out: loading any model, writers, precision, ONNX and Ray."""

from pathlib import Path


def shipped(name: str) -> Path:
    """A folder that ships with the library: in the installed package, or in a checkout beside it.

    Args:
        name: ``checkpoints`` or ``configs``.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


DEFAULT_MODEL = shipped("checkpoints") / "mini"
"""The embedded checkpoint, which the commands use when no model is given."""


class PredictError(Exception):
    """A request that cannot be carried out. The message is one line."""


class ModelError(PredictError, ValueError):
    """A model that cannot be loaded. The message is one line that names the model."""

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


FORMATS = {
    "table": "for the screen",
    "json": "JSON lines",
    "csv": "a table",
    "parquet": "the same with types",
    "srt": "subtitles",
    "vtt": "subtitles for browsers",
    "audacity": "a label track",
    "textgrid": "for Praat",
    "eaf": "for ELAN",
    "labelstudio": "tasks with pre-annotations for Label Studio",
    "rttm": "turns with the emotion as subtype",
}
"""Formats of ``predict``, and what each is."""


class PredictError(Exception):
    """A request that cannot be carried out. The message is one line."""


class PredictWarning(UserWarning):
    """A request is carried out, but not well. The message is one line; the commands print it."""


class ModelError(PredictError, ValueError):
    """A model that cannot be loaded. The message is one line that names the model."""

"""Settings of the Space, read from environment variables (README.md lists them)."""

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

HERE = Path(__file__).resolve().parent
VERSION = "0.2.0"
"""Of the project."""

UNPACKED = 4
"""A zip file may hold this many times the largest upload, unpacked."""


@dataclass(frozen=True)
class Settings:
    """Settings that the owner of the Space chooses; README.md explains each."""

    model: str
    transcriber: str | None = None
    max_seconds: float = 60.0
    max_megabytes: float = 25.0
    max_recording_minutes: float = 120.0
    max_upload_megabytes: float = 250.0
    max_clips: int = 200
    threshold: float = 0.35
    compare_models: tuple[str, ...] = ()
    compare_any: bool = False
    queue_size: int = 64
    benchmark_clips: int = 1500

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings. Raises ValueError, in one line, for an unusable value."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            text = os.environ.get(f"SER_{field.name.upper()}")
            if not text:
                continue
            if isinstance(field.default, bool):
                values[field.name] = text == "1"
            elif isinstance(field.default, int | float):
                values[field.name] = _number(field.name, text, type(field.default))
            elif isinstance(field.default, tuple):
                values[field.name] = tuple(filter(None, map(str.strip, text.split(","))))
            else:
                values[field.name] = text
        if "model" not in values:
            values["model"] = default_model()
        return cls(**values)

    @property
    def clip_limits(self) -> dict[str, float]:
        """Limits of one clip, as `clips.read_clip` takes them."""
        return {"max_seconds": self.max_seconds, "max_megabytes": self.max_megabytes}

    @property
    def max_unpacked_megabytes(self) -> float:
        """Largest content of a zip file."""
        return self.max_upload_megabytes * UNPACKED

    def trusts(self, model: str) -> bool:
        """Whether code in the folder or repo of a model may run: only if the owner named it."""
        return model == self.model or model in self.compare_models


def default_model() -> str:
    """Return the checkpoint of the repository around this folder, else the model of the card.

    Raises:
        ValueError: there is neither; one line that says what to set.
    """
    local = HERE.parent / "checkpoints" / "mini"
    if (local / "config.json").is_file():
        return str(local)
    model = metadata_load(HERE / "README.md")["models"][0]
    if model.startswith("your-name/"):
        raise ValueError(
            "set SER_MODEL to the folder or the Hub id of an audio-classification model"
        )
    return model


def shown_name(model: str) -> str:
    """Return what visitors may see of a model: its Hub id, or the last part of its folder."""
    return Path(model).name if Path(model).is_dir() or Path(model).is_absolute() else model


def _number(name: str, text: str, kind: type[int] | type[float]) -> float:
    variable = f"SER_{name.upper()}"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if name == "threshold" and not 0 <= number <= 1:
        raise ValueError(f"{variable} must be 0 to 1, not {text!r}")
    if name != "threshold" and not 0 < number < math.inf:
        raise ValueError(f"{variable} must be a number above 0, not {text!r}")
    return kind(number)

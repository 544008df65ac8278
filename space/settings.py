"""Settings of the Space, read from environment variables (README.md lists them)."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import metadata_load

HERE = Path(__file__).resolve().parent
UNPACKED = 4
"""A zip file may hold this many times the largest upload, unpacked."""


@dataclass(frozen=True)
class Settings:
    """Settings that the owner of the Space chooses.

    Attributes:
        model: folder or Hub id.
        transcriber: `transcriber` option of the pipeline; None for the model's own.
        max_seconds, max_megabytes: longest clip, and its largest file.
        max_recording_minutes: longest recording.
        max_upload_megabytes: largest file of any kind.
        max_clips: most clips in one request.
        threshold: an answer whose highest probability (0 to 1) is lower is called unsure.
        compare_models: models that a clip may be compared with.
        compare_any: whether visitors may name any model of the Hub.
        queue_size: most requests that may wait.
        benchmark_clips: most clips of a benchmark.
    """

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
        threshold = _number("SER_THRESHOLD", cls.threshold, zero=True)
        if threshold > 1:
            raise ValueError(f"SER_THRESHOLD must be 0 to 1, not {threshold:g}")
        named = os.environ.get("SER_COMPARE_MODELS", "").split(",")
        return cls(
            model=os.environ.get("SER_MODEL") or default_model(),
            transcriber=os.environ.get("SER_TRANSCRIBER") or None,
            max_seconds=_number("SER_MAX_SECONDS", cls.max_seconds),
            max_megabytes=_number("SER_MAX_MEGABYTES", cls.max_megabytes),
            max_recording_minutes=_number("SER_MAX_RECORDING_MINUTES", cls.max_recording_minutes),
            max_upload_megabytes=_number("SER_MAX_UPLOAD_MEGABYTES", cls.max_upload_megabytes),
            max_clips=int(_number("SER_MAX_CLIPS", cls.max_clips)),
            threshold=threshold,
            compare_models=tuple(name.strip() for name in named if name.strip()),
            compare_any=os.environ.get("SER_COMPARE_ANY", "") == "1",
            queue_size=int(_number("SER_QUEUE_SIZE", cls.queue_size)),
            benchmark_clips=int(_number("SER_BENCHMARK_CLIPS", cls.benchmark_clips)),
        )

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
    """Return the checkpoint of the repository around this folder, else the model of the card."""
    local = HERE.parent / "checkpoints" / "mini"
    if (local / "config.json").is_file():
        return str(local)
    return metadata_load(HERE / "README.md")["models"][0]


def shown_name(model: str) -> str:
    """Return what visitors may see of a model: its Hub id, or the last part of its folder."""
    return Path(model).name if Path(model).is_dir() or Path(model).is_absolute() else model


def _number(variable: str, default: float, *, zero: bool = False) -> float:
    value = os.environ.get(variable) or default
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not (0 < number < math.inf or (zero and number == 0)):
        raise ValueError(f"{variable} must be a number above 0, not {value!r}")
    return number

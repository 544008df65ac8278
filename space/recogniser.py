"""The model behind the page: settings, loading, and one answer for one clip."""

import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from clips import Clip, ClipError
from huggingface_hub import metadata_load
from transformers import Pipeline, pipeline

HERE = Path(__file__).resolve().parent
AUDIO_ONLY = "this model listens to the audio alone"

logger = logging.getLogger("space")


@dataclass(frozen=True)
class Settings:
    """What the operator chooses; README.md lists the environment variable of each.

    model: folder or Hub id. transcriber: what `pipeline(..., transcriber=...)` takes, or None for
    the model's own choice. max_seconds, max_megabytes: the longest clip and the largest file.
    """

    model: str
    transcriber: str | None = None
    max_seconds: float = 60.0
    max_megabytes: float = 25.0

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings. Raises ValueError, in one line, for a value that is no number."""
        return cls(
            model=os.environ.get("SER_MODEL") or default_model(),
            transcriber=os.environ.get("SER_TRANSCRIBER") or None,
            max_seconds=_number("SER_MAX_SECONDS", cls.max_seconds),
            max_megabytes=_number("SER_MAX_MEGABYTES", cls.max_megabytes),
        )


def default_model() -> str:
    """Return the checkpoint beside the repository, else the first model of the Space's card."""
    local = HERE.parent / "checkpoints" / "mini"
    if (local / "config.json").is_file():
        return str(local)
    return metadata_load(HERE / "README.md")["models"][0]


@dataclass(frozen=True)
class Answer:
    """What the model said about one clip; `to_dict` is what the API returns.

    emotions: {"label", "score"} by falling score. note: why there is no transcript, or None.
    modalities: what was used, ["audio"] or ["audio", "text"]. clip_seconds: length of the clip.
    elapsed_seconds: time that the model took.
    """

    emotions: list[dict[str, Any]]
    transcript: str | None
    transcript_source: str | None
    note: str | None
    modalities: list[str]
    clip_seconds: float
    elapsed_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Recogniser:
    """A loaded pipeline, or the one line that says why there is none (`problem`)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.problem: str | None = None
        self._pipeline: Pipeline | None = None
        try:
            self._pipeline = _load(settings)
            self._warm_up()
        # Code that travels with a checkpoint may fail in any way, and the page has to come up.
        except Exception as error:
            logger.exception("the model %s could not be loaded", settings.model)
            self._pipeline = None
            reason = first_line(error).replace(settings.model, self.name).rstrip(".")
            self.problem = (
                f"The model {self.name} could not be loaded: {reason}. "
                "Set SER_MODEL to a model's folder or Hub id."
            )

    @property
    def name(self) -> str:
        """Hub id, or the last part of a folder: a server's paths are not the visitor's business."""
        model = self.settings.model
        return Path(model).name if Path(model).is_dir() or Path(model).is_absolute() else model

    @property
    def supports_text(self) -> bool:
        """Whether the pipeline takes the words of a clip; a stock one does not."""
        return getattr(self._pipeline, "supports_text", False)

    @property
    def labels(self) -> list[str]:
        if self._pipeline is None:
            return []
        return list(self._pipeline.model.config.id2label.values())

    def answer(self, path: str | Path, clip: Clip, *, text: str | None = None) -> Answer:
        """Ask the model about a clip that `read_clip` has accepted.

        Args:
            path: the clip's file. clip: the same, decoded.
            text: its words; they take the place of the transcriber's. An empty one means that
                the audio alone shall answer.

        Raises:
            ClipError: the model is missing or refused the clip; the message is one line.
        """
        if self._pipeline is None:
            raise ClipError(self.problem)
        started = time.perf_counter()
        try:
            result = self._ask(path, clip, text)
        except ValueError as error:
            raise ClipError(first_line(error).replace(str(path), Path(path).name)) from error
        except Exception as error:
            logger.exception("the model failed on a clip")
            raise ClipError(
                "The model failed on this clip; the server's log says more. "
                "Another clip may well work."
            ) from error
        elapsed = time.perf_counter() - started
        return Answer(
            **result, clip_seconds=round(clip.seconds, 3), elapsed_seconds=round(elapsed, 3)
        )

    def _warm_up(self) -> None:
        """Answer once, so that no visitor waits for slow imports or the transcriber's weights."""
        rate = 16_000 if self.supports_text else self._pipeline.feature_extractor.sampling_rate
        # A tone: noise would be refused before the transcriber hears it.
        tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32)
        self._pipeline({"raw": tone, "sampling_rate": rate})

    def _ask(self, path: str | Path, clip: Clip, text: str | None) -> dict[str, Any]:
        if self.supports_text:
            options = {} if text is None else {"text": text}
            row = self._pipeline(str(path), return_transcript=True, **options)
            names = ("emotions", "transcript", "transcript_source", "note", "modalities")
            return {name: row[name] for name in names}
        # A stock pipeline hands paths to the ffmpeg program and resamples with torchaudio,
        # neither of which a user needs to have: it gets samples at its own rate.
        rate = self._pipeline.feature_extractor.sampling_rate
        return {
            "emotions": self._pipeline({"raw": clip.resampled(rate), "sampling_rate": rate}),
            "transcript": None,
            "transcript_source": None,
            "note": AUDIO_ONLY,
            "modalities": ["audio"],
        }


def _load(settings: Settings) -> Pipeline:
    is_path = settings.model.startswith((".", "~")) or Path(settings.model).is_absolute()
    if is_path and not Path(settings.model).is_dir():
        raise FileNotFoundError("there is no such folder")
    options = {"transcriber": settings.transcriber} if settings.transcriber else {}
    return pipeline("audio-classification", model=settings.model, trust_remote_code=True, **options)


def first_line(error: Exception) -> str:
    """Return an exception's message without the lines that follow the first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _number(variable: str, default: float) -> float:
    value = os.environ.get(variable) or default
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ValueError(f"{variable} must be a number above 0, not {value!r}")
    return number

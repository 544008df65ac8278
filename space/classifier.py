"""The model behind the page: settings, loading, and one answer for one clip."""

import logging
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from clips import SILENCE_RANGE, Clip, ClipError
from gpu import is_zero, on_gpu
from huggingface_hub import metadata_load
from transformers import Pipeline, pipeline

HERE = Path(__file__).resolve().parent
AUDIO_ONLY = "this model listens to the audio alone"
MAX_LETTERS = 2000
WINDOW_RATE = 16_000
"""Sampling rate, in Hz, of the windows of a recording."""

logger = logging.getLogger("space")


@dataclass(frozen=True)
class Settings:
    """What the operator chooses; README.md lists the environment variable of each.

    model: folder or Hub id. transcriber: what `pipeline(..., transcriber=...)` takes, or None for
    the model's own choice. max_seconds, max_megabytes: the longest clip and its largest file.
    max_recording_minutes: the longest recording. max_upload_megabytes: the largest file of any
    kind. max_clips: the most clips at once. threshold: below this probability, 0 to 1, an answer
    is called unsure. compare_models: what a clip may be compared with. compare_any: whether
    visitors may name any model of the Hub. queue_size: the most requests that may wait.
    benchmark_clips: the most clips of a benchmark.
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
        """Read the settings. Raises ValueError, in one line, for a value that makes no sense."""
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
    elapsed_seconds: time that the model took. contributions: what each modality alone says and
    moved, as the pipeline's option of that name has it; None where it was not asked for.
    """

    emotions: list[dict[str, Any]]
    transcript: str | None
    transcript_source: str | None
    note: str | None
    modalities: list[str]
    clip_seconds: float
    elapsed_seconds: float
    contributions: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all but the contributions, which `/explain` adds."""
        answer = asdict(self)
        del answer["contributions"]
        return answer

    def unsure(self, threshold: float) -> bool:
        """Whether no emotion is as likely as the threshold, 0 to 1."""
        return self.emotions[0]["score"] < threshold


class Turns:
    """A lock whose holders follow each other in the order in which they came.

    The interpreter's own lock may go back at once to the thread that let go of it: a long
    recording, which takes it once for every few windows, would then lock everybody else out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._last, self._now = 0, 0

    def __enter__(self) -> None:
        with self._changed:
            mine, self._last = self._last, self._last + 1
            self._changed.wait_for(lambda: self._now == mine)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._now += 1
            self._changed.notify_all()


class Recogniser:
    """A loaded pipeline, or the one line that says why there is none (`problem`).

    It may be asked from several threads; one call at a time reaches the model.
    """

    def __init__(self, settings: Settings, *, trusted: bool = True) -> None:
        """Load the model; `trusted` says whether code that travels with it may run."""
        self.settings = settings
        self.problem: str | None = None
        self._pipeline: Pipeline | None = None
        # A pipeline does not promise to be thread-safe, and this project's is not.
        self._turns = Turns()
        try:
            self._pipeline = _load(settings, trusted)
            self._run = on_gpu(self._pipeline.__call__, audio_seconds=_seconds_of)
            if not is_zero():  # there a GPU is lent to requests alone
                self._warm_up()
        # Code that travels with a checkpoint may fail in any way, and the page has to come up.
        except Exception as error:
            logger.exception("the model %s could not be loaded", settings.model)
            self._pipeline = None
            reason = first_line(error).replace(settings.model, self.name).rstrip(".")
            self.problem = f"The model {self.name} could not be loaded: {reason}."

    @property
    def name(self) -> str:
        """Hub id, or the last part of a folder: a server's paths are not the visitor's business."""
        return shown_name(self.settings.model)

    @property
    def pipeline(self) -> Pipeline:
        """The loaded pipeline. Raises ClipError when there is none."""
        if self._pipeline is None:
            raise ClipError(self.problem)
        return self._pipeline

    @property
    def supports_text(self) -> bool:
        """Whether the pipeline takes the words of a clip; a stock one does not."""
        return getattr(self._pipeline, "supports_text", False)

    @property
    def labels(self) -> list[str]:
        if self._pipeline is None:
            return []
        return list(self._pipeline.model.config.id2label.values())

    def answer(
        self, path: str | Path, clip: Clip, *, text: str | None = None, contributions: bool = False
    ) -> Answer:
        """Ask the model about a clip that `read_clip` has accepted.

        Args:
            path: the clip's file. clip: the same, decoded.
            text: its words; they take the place of the transcriber's. An empty one means that
                the audio alone shall answer.
            contributions: whether to say what each modality alone would answer.

        Raises:
            ClipError: the model is missing or refused the clip; the message is one line.
        """
        if text is not None and len(text) > MAX_LETTERS:
            raise ClipError(f"The text is too long: at most {MAX_LETTERS} letters are accepted.")
        with self._errors(Path(path)):
            result, elapsed = self._ask(path, clip, text, contributions)
        return Answer(
            **result, clip_seconds=round(clip.seconds, 3), elapsed_seconds=round(elapsed, 3)
        )

    def answer_batch(
        self, paths: Sequence[str | Path], *, texts: Sequence[str | None] | None, clean: bool
    ) -> list[dict[str, float] | str]:
        """Ask a model that reads text about several clips in one pass.

        Args:
            paths: files that `read_clip` has accepted.
            texts: the words of each, as for `answer`; None leaves them to the transcriber.
            clean: whether the clips have yet to be cleaned.

        Returns:
            For each the probability by label, or the line that says why there is none.

        Raises:
            ClipError: the model is missing or failed; the message is one line.
        """
        with self._errors(Path("clips")):
            rows, _ = self._call([str(path) for path in paths], text=texts, clean=clean)
        return [
            row["error"].replace(str(path), Path(path).name)
            if isinstance(row, dict)
            else {r["label"]: r["score"] for r in row}
            for path, row in zip(paths, rows, strict=True)
        ]

    def answer_windows(
        self, waveforms: Sequence[np.ndarray], *, window_s: float
    ) -> list[dict[str, Any]]:
        """Ask the model about some windows of a recording.

        Args:
            waveforms: float32 (num_samples,) each, mono, 16 kHz, at most `window_s` seconds long.

        Returns:
            For each `scores` (probability by label, or None where nobody speaks), `transcript`
            and `note`, as in an answer.

        Raises:
            ClipError: the model is missing or failed; the message is one line.
        """
        with self._errors(Path("recording")):
            if not self.supports_text:
                return self._stock_windows(waveforms)
            clips = [{"array": waveform, "sampling_rate": WINDOW_RATE} for waveform in waveforms]
            options = {"return_segments": True, "smoothing": 1}
            rows, _ = self._call(clips, window_s=window_s, hop_s=window_s, **options)
        windows = []
        for row in rows:
            if "error" in row:
                raise ClipError(row["error"])
            scores = {r["label"]: r["score"] for r in row["emotions"]} or None
            windows.append({"scores": scores, **{k: row[k] for k in ("transcript", "note")}})
        return windows

    def _stock_windows(self, waveforms: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """A stock pipeline knows no silence: a window without sound is not shown to it."""
        heard = [bool(np.ptp(waveform) >= SILENCE_RANGE) for waveform in waveforms]
        rate = self._pipeline.feature_extractor.sampling_rate
        clips = [
            {"raw": Clip(waveform, WINDOW_RATE).resampled(rate), "sampling_rate": rate}
            for waveform, loud in zip(waveforms, heard, strict=True)
            if loud
        ]
        rows = iter(self._call(clips, top_k=len(self.labels))[0] if clips else [])
        return [
            {
                "scores": {r["label"]: r["score"] for r in next(rows)} if loud else None,
                "transcript": None,
                "note": AUDIO_ONLY,
            }
            for loud in heard
        ]

    @contextmanager
    def _errors(self, path: Path) -> Iterator[None]:
        """Turn whatever goes wrong into one line without the server's paths."""
        if self._pipeline is None:
            raise ClipError(self.problem)
        try:
            yield
        except ClipError:
            raise
        except ValueError as error:
            raise ClipError(first_line(error).replace(str(path), path.name)) from error
        except Exception as error:
            logger.exception("the model failed on a clip")
            raise ClipError(
                "The model failed on this clip; the server's log says more. "
                "Another clip may well work."
            ) from error

    def _warm_up(self) -> None:
        """Answer once, so that no visitor waits for slow imports or the transcriber's weights."""
        rate = 16_000 if self.supports_text else self._pipeline.feature_extractor.sampling_rate
        # A tone: noise would be refused before the transcriber hears it.
        tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(rate) / rate).astype(np.float32)
        self._call({"raw": tone, "sampling_rate": rate})

    def _call(self, inputs: Any, **options: Any) -> tuple[Any, float]:
        """Run the pipeline when it is this caller's turn; return what it says and the seconds."""
        with self._turns:
            started = time.perf_counter()
            return self._run(inputs, **options), time.perf_counter() - started

    def _ask(
        self, path: str | Path, clip: Clip, text: str | None, contributions: bool
    ) -> tuple[dict[str, Any], float]:
        if self.supports_text:
            options = {} if text is None else {"text": text}
            row, elapsed = self._call(
                str(path), return_transcript=True, contributions=contributions, **options
            )
            names = ("emotions", "transcript", "transcript_source", "note", "modalities")
            result = {name: row[name] for name in names}
            return {**result, "contributions": row.get("contributions")}, elapsed
        # A stock pipeline hands paths to the ffmpeg program and resamples with torchaudio,
        # neither of which a user needs to have: it gets samples at its own rate.
        rate = self._pipeline.feature_extractor.sampling_rate
        sound = {"raw": clip.resampled(rate), "sampling_rate": rate}
        emotions, elapsed = self._call(sound, top_k=len(self.labels))
        return {
            "emotions": emotions,
            "transcript": None,
            "transcript_source": None,
            "note": AUDIO_ONLY,
            "modalities": ["audio"],
        }, elapsed


def shown_name(model: str) -> str:
    """Return what a visitor may know of a model: its Hub id, or the last part of its folder."""
    return Path(model).name if Path(model).is_dir() or Path(model).is_absolute() else model


def _seconds_of(inputs: Any, **_options: Any) -> float:
    """How much audio a call of the pipeline hears."""
    if isinstance(inputs, str):
        return sf.info(inputs).duration
    if isinstance(inputs, list):
        return sum(map(_seconds_of, inputs))
    return inputs.get("raw", inputs.get("array")).size / inputs["sampling_rate"]


def _load(settings: Settings, trusted: bool) -> Pipeline:
    is_path = settings.model.startswith((".", "~")) or Path(settings.model).is_absolute()
    if is_path and not Path(settings.model).is_dir():
        raise FileNotFoundError("there is no such folder")
    options: dict[str, Any] = {"trust_remote_code": trusted}
    if settings.transcriber:
        options["transcriber"] = settings.transcriber
    if is_zero():
        options["device"] = "cuda"
    if not trusted:
        options["model_kwargs"] = {"use_safetensors": True}
    return pipeline("audio-classification", model=settings.model, **options)


def first_line(error: Exception) -> str:
    """Return an exception's message without the lines that follow the first."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _number(variable: str, default: float, *, zero: bool = False) -> float:
    value = os.environ.get(variable) or default
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not (0 < number < math.inf or (zero and number == 0)):
        raise ValueError(f"{variable} must be a number above 0, not {value!r}")
    return number

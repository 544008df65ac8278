"""The emotion classifier of the Space: a loaded pipeline, and its results."""

import functools
import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from clips import Clip, ClipError
from gpu import is_zero, on_gpu, seconds_of
from lock import Cancelled, FairLock, Request, after_batch, asking, in_steps
from settings import Settings, shown_name

if TYPE_CHECKING:
    from transformers import Pipeline

QUIET_WINDOW = 2e-4
"""Range of the samples below which a stock model gets no window: it knows no silence."""

AUDIO_ONLY = "this model is audio-only"
PLAIN_WORDS = "It is on the table."
SAYS_NOTHING = 0.25
"""Text-only probabilities closer than this (total variation distance, 0 to 1) to those of plain
words, or to equal ones, say nothing about the emotion."""

MAX_CHARACTERS = 2000
NOT_TRUSTED = (
    "it needs Python code of its own, which this server runs only for the models that its owner "
    "has configured"
)

TONE = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16_000) / 16_000).astype(np.float32)
"""A second at 16 kHz; noise would be refused before it is transcribed."""

logger = logging.getLogger("space")


@dataclass(frozen=True)
class Result:
    """Prediction for one clip; `to_dict` is what the API returns.

    Attributes:
        emotions: `{"label", "score"}` by falling score.
        transcript, transcript_source: None for an audio-only prediction.
        note: why there is no transcript, or None.
        modalities: `["audio"]` or `["audio", "text"]`.
        clip_seconds: length of the clip.
        elapsed_seconds: time that the pipeline took.
        contributions: result of the pipeline's option of that name; None if not asked for.
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
        """Return all fields but the contributions, which `/explain` adds."""
        fields = asdict(self)
        del fields["contributions"]
        return fields

    def unsure(self, threshold: float) -> bool:
        """Whether the highest probability is below the threshold, 0 to 1."""
        return self.emotions[0]["score"] < threshold


class Classifier:
    """A pipeline, or one line that says why it could not be loaded (`problem`).

    It may be called from several threads. The pipeline runs one call at a time; while its
    transcriber works for one, others that need no transcript run.
    """

    def __init__(
        self, settings: Settings, *, model: str | None = None, name: str | None = None
    ) -> None:
        """Name a model, which is loaded when it is needed, or by `load`.

        Code in its folder or repo runs only if `settings.trusts` it; otherwise such a model is
        refused, and weights are read from safetensors only.

        Args:
            settings: of the Space.
            model: folder or Hub id; `settings.model` if not given.
            name: for visitors; its Hub id or the last part of its folder if not given.
        """
        self.settings = settings
        self.model = settings.model if model is None else model
        self.name = name or shown_name(self.model)
        self._problem: str | None = None
        self._pipeline: Any = None
        # A pipeline is not required to be thread-safe.
        self.lock = FairLock()
        self._loading, self._begun = threading.RLock(), False

    def load(self) -> None:
        """Load the model, at the first call; others wait, and so does every use of the model."""
        with self._loading:
            if not self._begun:
                self._begun = True
                # In a context of its own: who asked for it first may cancel the request.
                Context().run(self._try_to_load)

    def _try_to_load(self) -> None:
        try:
            self._pipeline = self._load()
            self._run = on_gpu(self._pipeline.__call__, audio_seconds=seconds_of)
            self._forward = self._pipeline.forward
            self._forward_on_gpu = on_gpu(self._forward, audio_seconds=seconds_of)
            self._pipeline.forward = self._forward_batch
            if not is_zero():  # ZeroGPU lends its GPU only during a request
                self._share_transcriber()
                self._warm_up()
        # Code of a checkpoint may fail in any way, and the page has to start.
        except Exception as error:
            if not isinstance(error, OSError | ValueError):  # whose message says what to do
                logger.exception("the model %s could not be loaded", self.model)
            self._pipeline = None
            reason = first_line(error).replace(self.model, self.name).rstrip(".")
            self._problem = f"The model {self.name} could not be loaded: {reason}."

    @property
    def problem(self) -> str | None:
        """Why the model could not be loaded."""
        self.load()
        return self._problem

    @property
    def pipeline(self) -> "Pipeline":
        """The loaded pipeline. Raises ClipError if there is none."""
        if self.problem:
            raise ClipError(self.problem)
        return self._pipeline

    @property
    def supports_text(self) -> bool:
        """Whether this is the pipeline of a custom checkpoint, with text and timeline."""
        return not self.problem and getattr(self._pipeline, "supports_text", False)

    @property
    def transcribes(self) -> bool:
        """Whether the pipeline looks for a transcript of its own."""
        return not self.problem and getattr(self._pipeline, "transcriber", None) is not None

    def says_nothing(self, words: dict[str, float] | None) -> bool:
        """Whether text-only probabilities are what the model gives for any plain sentence."""
        if words is None:
            return True
        equal = dict.fromkeys(words, 1 / len(words))
        return any(
            sum(abs(words[label] - plain[label]) for label in words) / 2 < SAYS_NOTHING
            for plain in (equal, self._plain_words)
        )

    @functools.cached_property
    def _plain_words(self) -> dict[str, float]:
        """Text-only probabilities of a plain sentence."""
        options = {"text": PLAIN_WORDS, "contributions": True, "check_speech": False}
        return self._call({"raw": TONE, "sampling_rate": 16_000}, **options)[0]["contributions"][
            "text"
        ]

    @property
    def audio_stream(self) -> Any:
        """The decoder that ships with a custom checkpoint; `None` for a stock model."""
        if not self.supports_text:
            return None
        package = type(self.pipeline).__module__.rpartition(".")[0]
        try:
            return importlib.import_module(f"{package}.decoding").AudioStream
        except (ImportError, AttributeError):  # of an older release
            return None

    @property
    def labels(self) -> list[str]:
        """Labels of the model; empty if it is not loaded."""
        return [] if self.problem else list(self.pipeline.model.config.id2label.values())

    def classify(
        self, path: str | Path, clip: Clip, *, text: str | None = None, contributions: bool = False
    ) -> Result:
        """Classify one clip.

        Args:
            path: file that `read_clip` has accepted.
            clip: the same, decoded.
            text: its transcript, used in place of the transcriber's; empty for audio only.
            contributions: whether to return audio-only and text-only probabilities as well.

        Raises:
            ClipError: there is no model, or it refuses the clip; one line.
        """
        refuse_long_text(text)
        with self.errors(Path(path)):
            if self.supports_text:
                given = {} if text is None else {"text": text}
                options = {"return_transcript": True, "contributions": contributions, **given}
                found, elapsed = self._call(str(path), **options)
            else:
                emotions, elapsed = self._call(
                    self._samples(clip), top_k=self.pipeline.model.config.num_labels
                )
                found = {"emotions": emotions, "note": AUDIO_ONLY, "modalities": ["audio"]}
        names = ("emotions", "transcript", "transcript_source", "note", "modalities")
        return Result(
            **{name: found.get(name) for name in (*names, "contributions")},
            clip_seconds=round(clip.seconds, 3),
            elapsed_seconds=round(elapsed, 3),
        )

    def classify_batch(
        self, paths: Sequence[str | Path], *, texts: Sequence[str | None] | None, clean: bool
    ) -> list[dict[str, float] | str]:
        """Classify several clips with one call of a custom checkpoint's pipeline.

        Args:
            paths: files that `read_clip` has accepted.
            texts: transcript of each clip, as for `classify`; None for the transcriber's.
            clean: whether the clips have yet to be cleaned.

        Returns:
            For each clip the probability by label, or its error as one line.

        Raises:
            ClipError: there is no model, or it failed; one line.
        """
        with self.errors(Path("clips")):
            found, _ = self._call([str(path) for path in paths], text=texts, clean=clean)
        return [
            result["error"].replace(str(path), Path(path).name)
            if isinstance(result, dict)
            else {emotion["label"]: emotion["score"] for emotion in result}
            for path, result in zip(paths, found, strict=True)
        ]

    def classify_windows(self, windows: Sequence[Clip]) -> list[dict[str, float] | None]:
        """Classify windows of a recording with a stock pipeline.

        Returns:
            For each window the probability by label; None for a silent one.

        Raises:
            ClipError: there is no model, or it failed; one line.
        """
        loud = [bool(np.ptp(window.waveform) >= QUIET_WINDOW) for window in windows]
        with self.errors(Path("recording")):
            samples = [
                self._samples(w) for w, is_loud in zip(windows, loud, strict=True) if is_loud
            ]
            found = iter(self._call(samples, top_k=len(self.labels))[0] if samples else [])
        return [
            {emotion["label"]: emotion["score"] for emotion in next(found)} if is_loud else None
            for is_loud in loud
        ]

    def classify_recording(
        self, path: str | Path, **options: Any
    ) -> Iterator[Request | dict[str, Any]]:
        """Run a custom checkpoint's pipeline with `return_segments` on a recording of any length.

        Other requests run between its batches, and while it is transcribed.

        Args:
            path: the file.
            options: of the pipeline.

        Yields:
            As `in_steps`.

        Raises:
            ClipError: there is no model, or it refuses the recording; one line.
        """

        def call() -> dict[str, Any]:
            with asking() as request, self.lock:

                def report(windows: int) -> None:
                    request.report(windows)
                    self.lock.yield_to_others()
                    request.stop_if_cancelled()

                request.stop_if_cancelled()
                after_batch.set(report)
                return self.pipeline(str(path), return_segments=True, **options)

        with self.errors(Path(path)):
            yield from in_steps(call)

    def _forward_batch(self, inputs: Any, **options: Any) -> Any:
        """Run `forward` of the pipeline; in a recording, report the batch afterwards."""
        report = after_batch.get()
        if report is None:
            return self._forward(inputs, **options)
        found = self._forward_on_gpu(inputs, **options)
        if found is not inputs:  # ZeroGPU works on copies, and the pipeline on its own clips
            for clip, copy in zip(inputs, found, strict=True):
                vars(clip).update(vars(copy))
        report(sum(clip.chunks is not None for clip in inputs))  # others are only transcribed
        return inputs

    def _samples(self, clip: Clip) -> dict[str, Any]:
        """Return a clip as a stock pipeline takes it without ffmpeg and torchaudio."""
        rate = self.pipeline.feature_extractor.sampling_rate
        return {"raw": clip.resampled(rate), "sampling_rate": rate}

    @contextmanager
    def errors(self, path: Path) -> Iterator[None]:
        """Turn every error into one line without paths of the server."""
        _ = self.pipeline
        try:
            yield
        except (ClipError, Cancelled):
            raise
        except ValueError as error:
            raise ClipError(first_line(error).replace(str(path), path.name)) from error
        except Exception as error:
            logger.exception("the model failed on a clip")
            raise ClipError(
                "The model failed on this clip; the server's log says more. "
                "Another clip may well work."
            ) from error

    def _load(self) -> "Pipeline":
        from transformers import pipeline  # seconds, in which the page is served already

        is_path = self.model.startswith((".", "~")) or Path(self.model).is_absolute()
        if is_path and not Path(self.model).is_dir():
            raise FileNotFoundError("there is no such folder")
        trusted = self.settings.trusts(self.model)
        options: dict[str, Any] = {"trust_remote_code": trusted}
        if not trusted:
            options["model_kwargs"] = {"use_safetensors": True}
        if self.settings.transcriber and trusted:
            options["transcriber"] = self.settings.transcriber
        if is_zero():
            options["device"] = "cuda"
        try:
            return pipeline("audio-classification", model=self.model, **options)
        except ValueError as error:
            if not trusted and "trust_remote_code" in str(error):
                raise ValueError(NOT_TRUSTED) from error
            raise

    def _warm_up(self) -> None:
        """Classify a tone, so that imports and the transcriber's weights delay no visitor."""
        if not self.supports_text:
            self._call(self._samples(Clip(TONE, 16_000)))
            return
        self._call({"raw": TONE, "sampling_rate": 16_000})
        _ = self._plain_words

    def _share_transcriber(self) -> None:
        """Let others have the model while the transcriber works, which has a lock of its own."""
        transcriber, lock = getattr(self._pipeline, "transcriber", None), FairLock()

        def shared(function: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **options: Any) -> Any:
                with asking() as request, self.lock.released(), lock:
                    request.stop_if_cancelled()
                    return function(*args, **options)

            return run

        for name in ("transcribe", "transcribe_words"):
            if hasattr(transcriber, name):
                setattr(transcriber, name, shared(getattr(transcriber, name)))

    def _call(self, inputs: Any, **options: Any) -> tuple[Any, float]:
        """Run the pipeline; return its result and the seconds it took, without those it waited."""
        with asking() as request, self.lock:
            request.stop_if_cancelled()
            started, waited = time.perf_counter(), request.waited
            found = self._run(inputs, **options)
            return found, time.perf_counter() - started - (request.waited - waited)


def refuse_long_text(text: str | None) -> None:
    """Raise ClipError for a transcript that is too long."""
    if text is not None and len(text) > MAX_CHARACTERS:
        raise ClipError(f"The text is too long: at most {MAX_CHARACTERS} characters are accepted.")


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

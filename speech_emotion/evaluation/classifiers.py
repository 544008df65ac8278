"""Loading models and predicting: clips in, probabilities or one-line errors out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm.auto import tqdm
from transformers import Pipeline

from hub_model.audio import AudioError, clean_audio, load_audio
from hub_model.labels import EMOTIONS
from hub_model.workers import in_processes
from speech_emotion import baselines
from speech_emotion.evaluation import EvaluationError, one_line
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.models import Model
from speech_emotion.predict import PredictError
from speech_emotion.predict.loading import load_classifier as load_pipeline

TEXT_MODES = ("corpus", "none", "asr")
"""Source of the transcripts: the corpus, none, or the model's transcriber."""

MODALITIES = ("fused", "audio", "text")
"""Fused, audio-only and text-only predictions."""

NO_TEXT = "it is audio-only"
"""Reason of a variant that needs a model with text."""

Prediction = np.ndarray | str
"""Probabilities in the order of the classes, or an error line."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """Any model that is scored: clips in, probabilities or one-line errors out.

    Attributes:
        weights: float ``(num_labels, num_classes)``, 1 where a label of the model counts for a
            class.
        workers: processes that decode and clean.
    """

    weights: np.ndarray
    workers: int = 0

    def __call__(
        self,
        clips: Sequence[Any],
        *,
        texts: Sequence[str | None] | None,
        clean: bool,
        modalities: Sequence[str],
    ) -> list[dict[str, Prediction]]:
        """Predict every clip, in order.

        Args:
            clips: whatever :func:`hub_model.audio.load_audio` reads.
            texts: a transcript for each clip; None when there are none.
            clean: clean the clips first.
            modalities: some of :data:`MODALITIES`, all predicted in one pass.

        Returns:
            for each clip, by modality, float ``(num_classes,)`` with the sum 1, or its error.
        """
        raise NotImplementedError

    def why_no_transcript(self, clip: Any) -> str | None:
        """Why the model cannot transcribe, tested on one clip; None when it can."""
        return NO_TEXT

    def of_classes(self, probabilities: Any) -> Prediction:
        """The probabilities of the classes from those of the labels, float ``(num_labels,)``."""
        found = np.asarray(probabilities) @ self.weights
        if not found.sum() > 0:
            return "all probability is on labels that are not scored"
        return found / found.sum()


def load_classifier(
    model: Model,
    *,
    text: str,
    classes: Sequence[str] = EMOTIONS,
    batch_size: int = 8,
    workers: int = 0,
    trust_remote_code: bool = False,
) -> Classifier:
    """Load a model.

    Args:
        model: see :func:`~speech_emotion.evaluation.models.open_model`.
        text: one of :data:`TEXT_MODES`; only "asr" loads the model's transcriber.
        classes: the emotions that are predicted; the probabilities of others are left out.
        batch_size: clips in one forward pass, where there is one.
        workers: processes that decode and clean.
        trust_remote_code: run Python code of the model folder that this package does not know.

    Raises:
        EvaluationError: it cannot be loaded.
    """
    weights = np.array([[float(meant == one) for one in classes] for _, meant in model.labels])
    try:
        if model.family == "baseline":
            baseline = baselines.load(model.folder)
            return BaselineClassifier(weights=weights, workers=workers, baseline=baseline)
        options = {} if text == "asr" else {"transcriber": "none"}
        pipe = load_pipeline(model.folder, trust_remote_code=trust_remote_code, **options)
    except (PredictError, baselines.BaselineError) as error:
        reason = one_line(error).removeprefix(f"{model.folder}: ")
        raise EvaluationError(f"--model {model.name}: {reason}") from error
    return PipelineClassifier(
        weights=weights,
        workers=workers,
        pipe=pipe,
        labels=tuple(name for name, _ in model.labels),
        batch_size=batch_size,
    )


@dataclass(frozen=True, kw_only=True)
class PipelineClassifier(Classifier):
    """A custom or stock checkpoint in the pipeline of `hub_model`.

    Attributes:
        pipe: the pipeline.
        labels: the labels of the model.
        batch_size: clips in one forward pass.
    """

    pipe: Pipeline
    labels: tuple[str, ...]
    batch_size: int = 8

    def __call__(
        self, clips: Sequence[Any], *, texts: Any, clean: bool, modalities: Sequence[str]
    ) -> list[dict[str, Prediction]]:
        """See :class:`Classifier`."""
        options: dict[str, Any] = {}
        if set(modalities) != {"fused"}:
            options["contributions"] = True
        if self.workers:
            options["num_workers"] = self.workers
        rows = self.pipe(
            list(clips), text=texts, clean=clean, batch_size=self.batch_size, **options
        )
        return [{name: self._prediction(row, name) for name in modalities} for row in rows]

    def why_no_transcript(self, clip: Any) -> str | None:
        """See :class:`Classifier`."""
        row = next(iter(self.pipe([clip], return_transcript=True, clean=False)))
        if "error" in row or row["transcript_source"] is not None:
            return None
        return row["note"]

    def _prediction(self, row: Any, modality: str) -> Prediction:
        scores: dict[str, float] | None
        if isinstance(row, list):
            scores = {item["label"]: item["score"] for item in row}
        elif "error" in row:
            return row["error"]
        else:
            scores = (row["contributions"] or {}).get(modality)
        if scores is None:
            return f"no {modality}-only prediction: {row['note'] or 'no speech'}"
        return self.of_classes([scores[name] for name in self.labels])


@dataclass(frozen=True, kw_only=True)
class BaselineClassifier(Classifier):
    """A trained baseline, classical or neural; it reads no text.

    Attributes:
        baseline: see :func:`baselines.load`.
    """

    baseline: baselines.Baseline

    def __call__(
        self, clips: Sequence[Any], *, texts: Any, clean: bool, modalities: Sequence[str]
    ) -> list[dict[str, Prediction]]:
        """See :class:`Classifier`."""
        waveforms = in_processes(partial(_decoded, clips, clean), self.workers)
        return [dict.fromkeys(modalities, self._prediction(waveform)) for waveform in waveforms]

    def _prediction(self, waveform: np.ndarray | str) -> Prediction:
        if isinstance(waveform, str):
            return waveform
        try:
            return self.of_classes(self.baseline.predict_proba([waveform])[0])
        except AudioError as error:
            return str(error)


def _decoded(
    clips: Sequence[Any], clean: bool, first: int, step: int
) -> Iterator[np.ndarray | str]:
    for place in range(first, len(clips), step):
        yield decoded(clips[place], clean=clean)


def decoded(source: Any, *, clean: bool) -> np.ndarray | str:
    """A clip's waveform, float32 (num_samples,), cleaned if asked for; or its error line."""
    try:
        waveform = load_audio(source)
        return clean_audio(waveform) if clean else waveform
    except AudioError as error:
        return str(error)


def predict_clips(
    classifier: Classifier,
    clips: ClipSet,
    *,
    text: str,
    batch_size: int,
    clean: bool | None = None,
    modalities: Sequence[str] = ("fused",),
    what: str = "clips",
    sources: Sequence[Any] | None = None,
) -> dict[str, list[Prediction]]:
    """Predict every clip, in order, with a progress bar.

    Args:
        classifier: the model.
        clips: the clips.
        text: one of :data:`TEXT_MODES`.
        batch_size: clips that are read at once.
        clean: whether they are cleaned first; when None, unless they have been cleaned.
        modalities: some of :data:`MODALITIES`, all predicted in one pass.
        what: name on the progress bar.
        sources: audio that replaces each clip's own.

    Returns:
        the predictions of every clip by modality.
    """
    transcripts = clips.clips["transcript"][:]
    found: list[dict[str, Prediction]] = []
    with tqdm(total=len(transcripts), desc=what, unit="clip", disable=None) as progress:
        for start in range(0, len(transcripts), batch_size):
            batch = slice(start, start + batch_size)
            texts = transcripts[batch] if text == "corpus" else None
            if text == "none":
                texts = [""] * len(transcripts[batch])
            found += classifier(
                clips.clips[batch]["audio"] if sources is None else sources[batch],
                texts=texts,
                clean=not clips.cleaned if clean is None else clean,
                modalities=modalities,
            )
            progress.update(len(transcripts[batch]))
    return {name: [by_modality[name] for by_modality in found] for name in modalities}

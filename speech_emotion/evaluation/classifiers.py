"""Models loaded and asked: clips in, probabilities or one-line errors out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers import Pipeline

from hub_model.audio import AudioError, clean_audio, load_audio
from hub_model.inputs import unbatched
from hub_model.labels import EMOTIONS
from speech_emotion import baselines
from speech_emotion.evaluation import EvaluationError, one_line
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.models import Model
from speech_emotion.predict.stock_checkpoints import load_classifier as load_hub_classifier

TEXT_MODES = ("corpus", "none", "asr")
"""Where a model's text comes from: the corpus's transcript, nowhere, its own transcriber."""

MODALITIES = ("fused", "audio", "text")
"""What an answer rests on."""

Answer = np.ndarray | str
"""Probabilities in the order of the classes, or one line saying why there are none."""


class Classifier(Protocol):
    """Anything that is scored: clips in, probabilities or one-line errors out."""

    def __call__(
        self,
        clips: Sequence[Any],
        *,
        texts: Sequence[str | None] | None,
        clean: bool,
        modalities: Sequence[str],
    ) -> list[dict[str, Answer]]:
        """Answer every clip, in order.

        Args:
            clips: whatever :func:`hub_model.audio.load_audio` reads.
            texts: a transcript a clip; None when there are none.
            clean: the clips have not been cleaned yet.
            modalities: some of :data:`MODALITIES`, all answered in one pass.

        Returns:
            for each clip, by modality, float ``(num_classes,)`` with the sum 1, or its error.
        """


def load_classifier(
    model: Model,
    *,
    text: str,
    classes: Sequence[str] = EMOTIONS,
    batch_size: int = 8,
    workers: int = 0,
) -> Classifier:
    """Load the model for answering.

    Args:
        model: what :func:`open_model` found.
        text: one of :data:`TEXT_MODES`; only "asr" wakes the model's transcriber.
        classes: what is answered; what the model gives to other labels is left out.
        batch_size: clips in one forward pass, where there is one.
        workers: processes that decode and clean.

    Raises:
        EvaluationError: it cannot be loaded.
    """
    if model.family == "row":
        try:
            row = baselines.load(model.folder)
            return RowClassifier(row, _weights(model.labels, classes), workers=workers)
        except baselines.BaselineError as error:
            raise EvaluationError(f"--model {model.name}: {one_line(error)}") from error
    options = {} if text == "asr" else {"transcriber": "none"}
    try:
        pipe = load_hub_classifier(str(model.folder), **options)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise EvaluationError(
            f"--model {model.name}: cannot be loaded: {one_line(error)}"
        ) from error
    return PipelineClassifier(
        pipe,
        dict(zip((name for name, _ in model.labels), _weights(model.labels, classes), strict=True)),
        batch_size=batch_size,
        workers=workers,
    )


@dataclass(frozen=True)
class PipelineClassifier:
    """This project's model, or a plain classifier, in the pipeline of `hub_model`.

    Attributes:
        pipe: the pipeline.
        columns: for each label float ``(num_classes,)``, which class its probability counts for.
        batch_size: clips in one forward pass.
        workers: processes that decode and clean.
    """

    pipe: Pipeline
    columns: dict[str, np.ndarray]
    batch_size: int = 8
    workers: int = 0

    def __call__(
        self,
        clips: Sequence[Any],
        *,
        texts: Sequence[str | None] | None,
        clean: bool,
        modalities: Sequence[str],
    ) -> list[dict[str, Answer]]:
        """See :class:`Classifier`."""
        shares = {} if set(modalities) == {"fused"} else {"contributions": True}
        if self.workers:
            shares["num_workers"] = self.workers
        rows = self.pipe(list(clips), text=texts, clean=clean, batch_size=self.batch_size, **shares)
        return [{name: self._answer(row, name) for name in modalities} for row in rows]

    def why_no_transcript(self, clip: Any) -> str | None:
        """Why the transcriber cannot be used, found out on one clip; None when it can."""
        row = next(iter(self.pipe([clip], return_transcript=True, clean=False)))
        if "error" in row or row["transcript_source"] is not None:
            return None
        return row["note"]

    def _answer(self, row: Any, modality: str) -> Answer:
        if isinstance(row, list):
            scores = {item["label"]: item["score"] for item in row}
        elif "error" in row:
            return row["error"]
        else:
            scores = (row["contributions"] or {}).get(modality)
        if scores is None:
            return f"no answer from the {modality} alone: {row['note'] or 'nothing heard'}"
        return _renormalised(sum(scores[name] * self.columns[name] for name in self.columns))


@dataclass(frozen=True)
class RowClassifier:
    """A trained baseline row, classical or convolutional.

    Attributes:
        row: what :func:`baselines.load` gave.
        columns: float ``(7, num_classes)``, which class each probability counts for.
        workers: processes that decode and clean.
    """

    row: baselines.Row
    columns: np.ndarray
    workers: int = 0

    def __call__(
        self,
        clips: Sequence[Any],
        *,
        texts: Sequence[str | None] | None,
        clean: bool,
        modalities: Sequence[str],
    ) -> list[dict[str, Answer]]:
        """See :class:`Classifier`; a row reads no text."""
        waveforms = unbatched(Waveforms(clips, clean=clean), self.workers)
        return [dict.fromkeys(modalities, self._answer(waveform)) for waveform in waveforms]

    def _answer(self, waveform: np.ndarray | str) -> Answer:
        if isinstance(waveform, str):
            return waveform
        try:
            return _renormalised(self.row.predict_proba([waveform])[0] @ self.columns)
        except AudioError as error:
            return str(error)


class Waveforms(Dataset):
    """Clips by number, decoded and cleaned: float32 (num_samples,), or the reason why not."""

    def __init__(self, clips: Sequence[Any], *, clean: bool) -> None:
        self._clips, self._clean = clips, clean

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> np.ndarray | str:
        try:
            waveform = load_audio(self._clips[index])
            return clean_audio(waveform) if self._clean else waveform
        except AudioError as error:
            return str(error)


def answers(pipe: Pipeline, clips: ClipSet, *, text: str, batch_size: int) -> list[Answer]:
    """Ask a pipeline of the seven emotions about every clip, in order.

    A clip that cannot be answered gets its error instead; the others go on.
    """
    names = list(pipe.model.config.id2label.values())
    columns = dict(zip(names, _weights([(n, n) for n in names], EMOTIONS), strict=True))
    classifier = PipelineClassifier(pipe, columns, batch_size=batch_size)
    return ask(classifier, clips, text=text, batch_size=batch_size)["fused"]


def ask(
    classifier: Classifier,
    clips: ClipSet,
    *,
    text: str,
    batch_size: int,
    clean: bool | None = None,
    modalities: Sequence[str] = ("fused",),
    what: str = "clips",
    sources: Sequence[Any] | None = None,
) -> dict[str, list[Answer]]:
    """Ask about every clip, in order, with a progress bar.

    Args:
        classifier: who is asked.
        clips: what is asked about.
        text: one of :data:`TEXT_MODES`.
        batch_size: clips that are read at once.
        clean: whether they are cleaned first; when None, if they have not been.
        modalities: some of :data:`MODALITIES`, all answered in one pass.
        what: name on the progress bar.
        sources: what is heard instead of each clip's own audio.

    Returns:
        the answers of every clip by modality.
    """
    transcripts = clips.clips["transcript"][:]
    found: list[dict[str, Answer]] = []
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
    return {name: [answers[name] for answers in found] for name in modalities}


def _weights(labels: Sequence[tuple[str, str | None]], classes: Sequence[str]) -> np.ndarray:
    """float (num_labels, num_classes): 1 where a label counts for a class."""
    return np.array([[float(emotion == name) for name in classes] for _, emotion in labels])


def _renormalised(probabilities: np.ndarray) -> Answer:
    total = probabilities.sum()
    if not total > 0:
        return "all probability is on labels that are not scored here"
    return probabilities / total

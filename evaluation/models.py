"""A model folder or Hub id, what its config says of its training, and its answers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from huggingface_hub import snapshot_download
from tqdm.auto import tqdm
from transformers import Pipeline

import baselines
from corpus_builder.labels import EMOTIONS, VOTE_CLASSES
from evaluation import EvaluationError, one_line
from evaluation.clips import HUB_ID, PROTOCOLS, ClipSet
from evaluation.labels import emotions_of
from evaluation.leaks import Heard, heard_by
from hub_model.audio import AudioError, clean_audio, load_audio
from hub_model.standalone import load_recogniser as load_hub_recogniser

TEXT_MODES = ("corpus", "none", "asr")
"""Where a model's text comes from: the corpus's transcript, nowhere, its own transcriber."""

MODALITIES = ("fused", "audio", "text")
"""What an answer rests on."""

Answer = np.ndarray | str
"""Probabilities in the order of the classes, or one line saying why there are none."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A checkpoint on disk.

    Attributes:
        name: as the user typed it.
        folder: where its files lie.
        family: "pipeline" for this project's model, "stock" for a plain transformers classifier,
            "row" for a baseline of `baselines/`.
        protocol: the protocol it was trained for; None when its config does not say.
        heard: what its config says it learnt from.
        labels: its own labels in the order of its ids, each with the emotion that it stands for.
        weights_sha256: hash over the names and bytes of its weights.
        temperature: by which it divides its logits.
    """

    name: str
    folder: Path
    family: str
    protocol: str | None
    heard: Heard
    labels: tuple[tuple[str, str | None], ...]
    weights_sha256: str
    temperature: float = 1.0

    @property
    def speakers(self) -> frozenset[str] | None:
        """The speakers it was trained on; None when its config does not say."""
        return self.heard.speakers

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that it can answer, neutral among them, in the order of the ids."""
        known = {emotion for _, emotion in self.labels}
        return tuple(name for name in VOTE_CLASSES if name in known)

    @property
    def covers_all(self) -> bool:
        """Whether it can answer all seven emotions."""
        return set(EMOTIONS) <= set(self.emotions)


class Recogniser(Protocol):
    """Anything that is scored: clips in, probabilities or one-line errors out."""

    def __call__(
        self, clips: Sequence[Any], *, texts: Sequence[str | None] | None, clean: bool
    ) -> list[Answer]:
        """Answer every clip, in order.

        Args:
            clips: whatever :func:`hub_model.audio.load_audio` reads.
            texts: a transcript a clip; None when there are none.
            clean: the clips have not been cleaned yet.

        Returns:
            for each clip float ``(num_classes,)`` with the sum 1, or its error.
        """


def open_model(name: str) -> Model:
    """Find a model and read its config; nothing is loaded yet.

    Args:
        name: folder or Hub id.

    Raises:
        EvaluationError: no such model, no config.json, no weights, or a label that is not known.
    """
    folder = _folder_of(name)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EvaluationError(f"--model {name}: the folder has no config.json") from error
    except ValueError as error:
        raise EvaluationError(f"--model {name}: config.json is not JSON: {error}") from error
    family = _family(name, config)
    names = config.get("labels") if family == "row" else _in_order(config.get("id2label"))
    if not names:
        raise EvaluationError(f"--model {name}: config.json names no labels")
    weights = sorted(folder.glob("*.safetensors"))
    if family == "row":
        known = {baselines.CONFIG_FILE, baselines.RESULTS_FILE, "README.md"}
        weights = sorted(f for f in folder.iterdir() if f.is_file() and f.name not in known)
    if not weights:
        kind = "weights" if family == "row" else "safetensors weights"
        raise EvaluationError(f"--model {name}: the folder has no {kind}")
    training = config.get("training") or {}
    protocol = training.get("protocol")
    if protocol not in (None, "natural", *PROTOCOLS):
        raise EvaluationError(
            f"--model {name}: trained under the protocol '{protocol}', "
            f"known are {', '.join(PROTOCOLS)} and natural"
        )
    return Model(
        name=name,
        folder=folder,
        family=family,
        # Only the paper's protocol lets test speakers into training.
        protocol=PROTOCOLS[0] if protocol == "natural" else protocol,
        heard=heard_by(training),
        labels=tuple(zip(names, emotions_of(names, where=f"--model {name}"), strict=True)),
        weights_sha256=_sha256(weights),
        temperature=config.get("temperature") or training.get("temperature") or 1.0,
    )


def load_recogniser(
    model: Model,
    *,
    text: str,
    classes: Sequence[str] = EMOTIONS,
    modality: str = "fused",
    batch_size: int = 8,
    workers: int = 0,
) -> Recogniser:
    """Load the model for answering.

    Args:
        model: what :func:`open_model` found.
        text: one of :data:`TEXT_MODES`; only "asr" wakes the model's transcriber.
        classes: what is answered; what the model gives to other labels is left out.
        modality: one of :data:`MODALITIES`.
        batch_size: clips in one forward pass, where there is one.
        workers: processes that decode and clean.

    Raises:
        EvaluationError: it cannot be loaded.
    """
    if model.family == "row":
        try:
            return RowRecogniser(baselines.load(model.folder), _weights(model.labels, classes))
        except baselines.BaselineError as error:
            raise EvaluationError(f"--model {model.name}: {one_line(error)}") from error
    options = {} if text == "asr" else {"transcriber": "none"}
    try:
        pipe = load_hub_recogniser(str(model.folder), **options)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise EvaluationError(
            f"--model {model.name}: cannot be loaded: {one_line(error)}"
        ) from error
    return PipelineRecogniser(
        pipe,
        dict(zip((name for name, _ in model.labels), _weights(model.labels, classes), strict=True)),
        modality=modality,
        batch_size=batch_size,
        workers=workers,
    )


@dataclass(frozen=True)
class PipelineRecogniser:
    """This project's model, or a plain classifier, in the pipeline of `hub_model`.

    Attributes:
        pipe: the pipeline.
        columns: for each label float ``(num_classes,)``, which class its probability counts for.
        modality: one of :data:`MODALITIES`.
        batch_size: clips in one forward pass.
        workers: processes that decode and clean.
    """

    pipe: Pipeline
    columns: dict[str, np.ndarray]
    modality: str = "fused"
    batch_size: int = 8
    workers: int = 0

    def __call__(
        self, clips: Sequence[Any], *, texts: Sequence[str | None] | None, clean: bool
    ) -> list[Answer]:
        """See :class:`Recogniser`."""
        shares = {} if self.modality == "fused" else {"contributions": True}
        if self.workers:
            shares["num_workers"] = self.workers
        rows = self.pipe(list(clips), text=texts, clean=clean, batch_size=self.batch_size, **shares)
        return [self._answer(row) for row in rows]

    def why_no_transcript(self, clip: Any) -> str | None:
        """Why the transcriber cannot be used, found out on one clip; None when it can."""
        row = next(iter(self.pipe([clip], return_transcript=True, clean=False)))
        if "error" in row or row["transcript_source"] is not None:
            return None
        return row["note"]

    def _answer(self, row: Any) -> Answer:
        if isinstance(row, dict) and "error" in row:
            return row["error"]
        if self.modality == "fused":
            scores = {item["label"]: item["score"] for item in row}
        else:
            scores = (row["contributions"] or {}).get(self.modality)
        if scores is None:
            return f"no answer from the {self.modality} alone: {row['note'] or 'nothing heard'}"
        return _renormalised(sum(scores[name] * self.columns[name] for name in self.columns))


@dataclass(frozen=True)
class RowRecogniser:
    """A trained baseline row, classical or convolutional."""

    row: baselines.Row
    columns: np.ndarray

    def __call__(
        self, clips: Sequence[Any], *, texts: Sequence[str | None] | None, clean: bool
    ) -> list[Answer]:
        """See :class:`Recogniser`; a row reads no text."""
        return [self._answer(clip, clean) for clip in clips]

    def _answer(self, clip: Any, clean: bool) -> Answer:
        try:
            waveform = load_audio(clip)
            found = self.row.predict_proba([clean_audio(waveform) if clean else waveform])[0]
        except AudioError as error:
            return str(error)
        return _renormalised(found @ self.columns)


def answers(pipe: Pipeline, clips: ClipSet, *, text: str, batch_size: int) -> list[Answer]:
    """Ask a pipeline of the seven emotions about every clip, in order.

    A clip that cannot be answered gets its error instead; the others go on.
    """
    names = list(pipe.model.config.id2label.values())
    columns = dict(zip(names, _weights([(n, n) for n in names], EMOTIONS), strict=True))
    recogniser = PipelineRecogniser(pipe, columns, batch_size=batch_size)
    return ask(recogniser, clips, text=text, batch_size=batch_size)


def ask(
    recogniser: Recogniser,
    clips: ClipSet,
    *,
    text: str,
    batch_size: int,
    clean: bool | None = None,
    what: str = "clips",
    sources: Sequence[Any] | None = None,
) -> list[Answer]:
    """Ask about every clip, in order, with a progress bar.

    Args:
        recogniser: who is asked.
        clips: what is asked about.
        text: one of :data:`TEXT_MODES`.
        batch_size: clips that are read at once.
        clean: whether they are cleaned first; when None, if they have not been.
        what: name on the progress bar.
        sources: what is heard instead of each clip's own audio.
    """
    transcripts = clips.clips["transcript"][:]
    found: list[Answer] = []
    with tqdm(total=len(transcripts), desc=what, unit="clip", disable=None) as progress:
        for start in range(0, len(transcripts), batch_size):
            batch = slice(start, start + batch_size)
            texts = transcripts[batch] if text == "corpus" else None
            if text == "none":
                texts = [""] * len(transcripts[batch])
            found += recogniser(
                clips.clips[batch]["audio"] if sources is None else sources[batch],
                texts=texts,
                clean=not clips.cleaned if clean is None else clean,
            )
            progress.update(len(transcripts[batch]))
    return found


def _weights(labels: Sequence[tuple[str, str | None]], classes: Sequence[str]) -> np.ndarray:
    """float (num_labels, num_classes): 1 where a label counts for a class."""
    return np.array([[float(emotion == name) for name in classes] for _, emotion in labels])


def _renormalised(probabilities: np.ndarray) -> Answer:
    total = probabilities.sum()
    if not total > 0:
        return "all probability is on labels that are not scored here"
    return probabilities / total


def _family(name: str, config: dict[str, Any]) -> str:
    if "family" in config:
        return "row"
    if "audio-classification" in (config.get("custom_pipelines") or {}):
        return "pipeline"
    kinds = [str(kind) for kind in config.get("architectures") or []]
    if any(kind.endswith("ForSequenceClassification") for kind in kinds):
        return "stock"
    raise EvaluationError(
        f"--model {name}: config.json names neither an audio-classification pipeline, nor a "
        "transformers model ForSequenceClassification, nor the family of a baseline row"
    )


def _in_order(id2label: dict[str, str] | None) -> list[str]:
    return [str(name) for _, name in sorted((id2label or {}).items(), key=lambda kv: int(kv[0]))]


def _folder_of(name: str) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists() or not HUB_ID.fullmatch(name):
        raise EvaluationError(f"--model {name}: no such folder, and not a Hub id (user/name)")
    try:
        return Path(snapshot_download(name))
    except Exception as error:
        # Network, authorisation and cache misses share no base class; the line names them.
        raise EvaluationError(
            f"--model {name}: no such folder, and not found on the Hub or in its cache; "
            f"give a model folder ({one_line(error)})"
        ) from error


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()

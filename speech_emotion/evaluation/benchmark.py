"""What the benchmarks share: their settings, their clips and their outcome."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.classifiers import TEXT_MODES
from speech_emotion.evaluation.clips import (
    PROTOCOLS,
    ClipSet,
    is_raw_folder,
    read_corpus,
    read_raw_ravdess,
)
from speech_emotion.evaluation.leaks import TrainingRecord, overlap
from speech_emotion.evaluation.models import Model, open_model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.training.parsing import option

CACHE = Path("runs/evaluation")
"""Folder of cached predictions: benchmarks share them, and an interrupted one continues."""

RESULTS = Path("results")
"""Folder of the results files."""

Result = dict[str, Any]
"""One line of a table of results, as plain JSON values."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which models are scored on which clips; every field has its help."""

    models: tuple[str, ...] = option((), "model folder or Hub id, or the folder of a baseline")
    data: str = option("", "built corpus, Hub data set id, or raw RAVDESS folder")
    protocol: str = option(PROTOCOLS[0], "configuration of a built corpus")
    split: str = option("test", "split of a built corpus")
    corpus: str | None = option(None, "score only the clips of this corpus (all)")
    text: str = option(
        "corpus",
        "transcripts: of the corpus, none, or asr, by the model's transcriber",
    )
    limit: int | None = option(
        None, "score at most this many clips of each set, drawn at random (all)"
    )
    batch_size: int = option(8, "clips in one forward pass; the figures stay the same")
    workers: int = option(
        0, "processes that decode and clean, threads that degrade; the figures stay the same"
    )
    folds: tuple[str, ...] = option((), "folder of train.py --folds, to show as well")
    cache: Path | None = option(CACHE, "folder of cached predictions")
    seed: int = option(metrics.SEED, "seed of draws, conditions and resampling")
    trust_remote_code: bool = option(
        False,
        "run the Python code of a model that this package does not know; only for models of "
        "people you trust",
    )
    protocols: ClassVar[tuple[str, ...]] = PROTOCOLS
    """The protocols that may be chosen; all when empty."""

    @property
    def distinct_models(self) -> list[Model]:
        """Every model once, with its config.

        Raises:
            EvaluationError: one cannot be used.
        """
        return [open_model(name) for name in dict.fromkeys(self.models)]

    def __post_init__(self) -> None:
        if self.text not in TEXT_MODES:
            raise EvaluationError(f"--text {self.text}: choose from {', '.join(TEXT_MODES)}")
        if self.protocols and self.protocol not in self.protocols:
            known = ", ".join(self.protocols)
            raise EvaluationError(f"--protocol {self.protocol}: choose from {known}")
        for name, least in (("batch_size", 1), ("workers", 0), ("limit", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                flag = name.replace("_", "-")
                raise EvaluationError(f"--{flag} {value}: must be at least {least}")


@dataclass(kw_only=True)
class Outcome:
    """The results and predictions of a benchmark.

    Attributes:
        data: facts about the clips, as plain JSON values.
        results: one for each line of the table, in order.
        predictions: a table with one row per clip for each scored system and condition.
        seconds: wall-clock seconds by system and condition.
    """

    data: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    predictions: list[pd.DataFrame] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, result: Result, predictions: pd.DataFrame, **columns: Any) -> None:
        """Add a result and its predictions, with ``columns`` that tell them from others."""
        self.results.append(result)
        self.predictions.append(predictions.assign(**{"system": result["system"], **columns}))

    def not_run(self, system: str, reason: str, **facts: Any) -> None:
        """Add a result that has a reason instead of scores."""
        self.results.append({"kind": "not_run", "system": system, **facts, "reason": reason})

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record the seconds of a block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - started, 2)

    def all_predictions(self) -> pd.DataFrame:
        """One row per system, condition and clip."""
        return (
            pd.concat(self.predictions, ignore_index=True) if self.predictions else (pd.DataFrame())
        )


def read_clips(settings: Settings, models: Sequence[Model]) -> ClipSet:
    """The clips on which these models are scored together.

    In a raw folder, speakers in the training data of a model are left out; in a built corpus the
    split decides. A model with fewer emotions is scored on clips of its emotions.

    Raises:
        EvaluationError: the data cannot be used, or no clip is left.
    """
    if is_raw_folder(settings.data):
        seen = {name for model in models for name in model.speakers or ()}
        clips = read_raw_ravdess(settings.data).without_speakers(seen)
        if not len(clips.clips):
            raise EvaluationError(
                f"--data {settings.data}: empty split: every speaker is in the training data of "
                f"--model {' and '.join(model.name for model in models)}"
            )
    else:
        clips = read_corpus(
            settings.data, settings.protocol, settings.split, corpus=settings.corpus
        )
    common = set(EMOTIONS).intersection(*(model.emotions for model in models))
    if common != set(EMOTIONS):
        clips = clips.of_emotions(common)
    return clips.limited(settings.limit, seed=settings.seed)


def require_corpus(data: str) -> None:
    """Refuse a raw folder.

    Raises:
        EvaluationError: it is one.
    """
    if is_raw_folder(data):
        raise EvaluationError(
            f"--data {data}: not a built corpus; python -m corpus_builder build makes one"
        )


def source_facts(settings: Settings) -> Result:
    """What a results file records about the data as a whole."""
    raw = is_raw_folder(settings.data)
    file = Path(settings.data) / "build.json"
    return {
        "kind": "raw" if raw else "corpus",
        "source": portable(settings.data),
        # A data set on the Hub is identified by its clips alone.
        "build_fingerprint": None
        if raw or not file.is_file()
        else json.loads(file.read_text(encoding="utf-8"))["fingerprint"],
        "split": None if raw else settings.split,
        "text": settings.text,
        "limit": settings.limit,
    }


def data_facts(settings: Settings, clips: ClipSet) -> Result:
    """What a results file records about the data and its clips."""
    return {
        **source_facts(settings),
        "protocol": PROTOCOLS[0] if is_raw_folder(settings.data) else settings.protocol,
        "clips": len(clips.clips),
        "speakers": sorted(set(clips.speakers)),
        "clips_sha256": clips.fingerprint(),
        "left_out": {"speakers": list(clips.left_out_speakers), "clips": clips.left_out_clips},
        "removed": clips.removed,
        "rejected": list(clips.rejected),
    }


def clip_facts(record: TrainingRecord, clips: ClipSet) -> Result:
    """What every scored result records: the leak guard's finding, and the clips."""
    return {
        "overlap": overlap(record, clips),
        "left_out": {"speakers": list(clips.left_out_speakers), "clips": clips.left_out_clips},
        "clips_sha256": clips.fingerprint(),
    }

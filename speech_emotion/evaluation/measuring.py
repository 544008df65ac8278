"""What the benchmarks of one test set share: their settings, their clips, and kept answers."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hub_model.audio import SAMPLING_RATE
from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.classifiers import (
    TEXT_MODES,
    Answer,
    Classifier,
    ask,
    load_classifier,
)
from speech_emotion.evaluation.clips import (
    PROTOCOLS,
    ClipSet,
    is_raw_folder,
    read_corpus,
    read_raw_ravdess,
)
from speech_emotion.evaluation.leaks import Heard, overlap
from speech_emotion.evaluation.models import Model, open_model
from speech_emotion.evaluation.provenance import portable, portable_line, versions
from speech_emotion.evaluation.scoring import prediction_table, score

CACHE = Path("runs/evaluation")
"""Where answers are kept, so that benchmarks share them and a stopped one goes on."""

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "hub_model",
    "speech_emotion/predict",
    "speech_emotion/baselines",
    "speech_emotion/evaluation/classifiers.py",
    "speech_emotion/evaluation/conditions.py",
)
"""What an answer is made by: another state of it makes kept answers void."""

MANY_CLIPS = 512

SILENT = {"array": np.zeros(SAMPLING_RATE, np.float32), "sampling_rate": SAMPLING_RATE}
"""Stands where a clip could not be made; its answer is replaced by the reason."""

Row = dict[str, Any]
Waveforms = Callable[[], Sequence[np.ndarray | str]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is scored on which clips.

    Args:
        models: folders or Hub ids.
        data: a built corpus's folder, a Hub data set id, or a raw RAVDESS folder.
        protocol: configuration of a built corpus.
        split: split of a built corpus.
        corpus: score the clips of this corpus alone, such as "ravdess".
        text: where the models' text comes from: "corpus", "none" or "asr".
        limit: score at most this many clips, drawn at random.
        batch_size: clips in one forward pass; it does not change the answers.
        workers: processes that decode and clean, and threads that degrade; nor do they.
        folds: folders of a cross-validation, for the benchmarks that show them.
        cache: where answers are kept; None keeps none.
        seed: seed of draws, of conditions and of resampling.
    """

    models: tuple[str, ...] = ()
    data: str = ""
    protocol: str = PROTOCOLS[0]
    split: str = "test"
    corpus: str | None = None
    text: str = "corpus"
    limit: int | None = None
    batch_size: int = 8
    workers: int = 0
    folds: tuple[str, ...] = ()
    cache: Path | None = CACHE
    seed: int = metrics.SEED

    @property
    def distinct_models(self) -> list[Model]:
        """Every model once, its config read.

        Raises:
            EvaluationError: one cannot be used.
        """
        return [open_model(name) for name in dict.fromkeys(self.models)]

    def __post_init__(self) -> None:
        if self.text not in TEXT_MODES:
            raise EvaluationError(f"--text {self.text}: choose from {', '.join(TEXT_MODES)}")
        if self.protocol not in PROTOCOLS:
            raise EvaluationError(f"--protocol {self.protocol}: choose from {', '.join(PROTOCOLS)}")
        if self.batch_size < 1:
            raise EvaluationError(f"--batch-size {self.batch_size}: must be at least 1")
        if self.workers < 0:
            raise EvaluationError(f"--workers {self.workers}: must be at least 0")
        if self.limit is not None and self.limit < 1:
            raise EvaluationError(f"--limit {self.limit}: must be at least 1")


@dataclass(kw_only=True)
class Outcome:
    """What a benchmark found.

    Attributes:
        data: facts about the clips, as plain JSON values.
        rows: one per line of the table, in order, as plain JSON values.
        tables: one row per clip, a table per scored system and condition.
        seconds: wall-clock seconds by system and condition.
    """

    data: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    tables: list[pd.DataFrame] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per system, condition and clip."""
        return pd.concat(self.tables, ignore_index=True) if self.tables else pd.DataFrame()


def read_clips(settings: Settings, models: Sequence[Model]) -> ClipSet:
    """The clips on which these models are scored together.

    Of a raw folder no speaker is left that one of them has heard; of a built corpus the split
    says who is tested. A model with fewer emotions is scored on the clips of its own.

    Raises:
        EvaluationError: the data cannot be used, or nothing is left.
    """
    if is_raw_folder(settings.data):
        heard = {name for model in models for name in model.speakers or ()}
        clips = read_raw_ravdess(settings.data).without_speakers(heard)
        if not len(clips.clips):
            raise EvaluationError(
                f"--data {settings.data}: empty split: "
                f"--model {' and '.join(model.name for model in models)} learnt from every speaker"
            )
    else:
        clips = read_corpus(
            settings.data, settings.protocol, settings.split, corpus=settings.corpus
        )
    common = set(EMOTIONS).intersection(*(model.emotions for model in models))
    if common != set(EMOTIONS):
        clips = clips.of_emotions(common)
    return clips.limited(settings.limit, seed=settings.seed)


def data_facts(settings: Settings, clips: ClipSet) -> dict[str, Any]:
    """What the results file says of the clips."""
    raw = is_raw_folder(settings.data)
    return {
        "kind": "raw" if raw else "corpus",
        "source": portable(settings.data),
        "build_fingerprint": None if raw else build_fingerprint(settings.data),
        "protocol": PROTOCOLS[0] if raw else settings.protocol,
        "split": None if raw else settings.split,
        "text": settings.text,
        "limit": settings.limit,
        "clips": len(clips.clips),
        "speakers": sorted(set(clips.speakers)),
        "clips_sha256": clips.fingerprint(),
        "left_out": {"speakers": list(clips.left_out_speakers), "clips": clips.left_out_clips},
        "removed": clips.removed,
        "rejected": list(clips.rejected),
    }


def build_fingerprint(data: str) -> str | None:
    """The corpus's own fingerprint; a data set on the Hub is known by its clips alone."""
    file = Path(data) / "build.json"
    return json.loads(file.read_text(encoding="utf-8"))["fingerprint"] if file.is_file() else None


class Asker:
    """Asks one model, and keeps its answers.

    Args:
        model: who is asked.
        clips: what it is asked about.
        settings: how.
        classes: what is answered; the clips' labels are indices into them.
    """

    def __init__(
        self,
        model: Model,
        clips: ClipSet,
        settings: Settings,
        *,
        classes: Sequence[str] = EMOTIONS,
    ) -> None:
        self.model, self.clips, self.settings, self.classes = model, clips, settings, classes
        self.name = portable(model.name)
        self._classifiers: dict[bool, Classifier] = {}
        self._tables: dict[str, pd.DataFrame] = {}
        config = (model.folder / "config.json").read_bytes()
        self._key = [
            model.weights_sha256,
            hashlib.sha256(config).hexdigest(),
            clips.fingerprint(),
            clips.cleaned,
            list(classes),
            code_fingerprint(model.folder),
            versions(),
        ]

    def table(
        self,
        *,
        text: str | None = None,
        modality: str = "fused",
        also: Sequence[str] = (),
        clean: bool | None = None,
        condition: str = "",
        waveforms: Waveforms | None = None,
    ) -> pd.DataFrame:
        """The predictions of every clip, from the cache when they are there.

        Args:
            text: one of the text modes; that of the settings when not given.
            modality: what the answer rests on.
            also: modalities that will be wanted as well: the same pass answers them.
            clean: whether clips are cleaned first; when None, if they have not been.
            condition: name of what was done to the clips, seed included.
            waveforms: a function that gives float32 (num_samples,) at 16 kHz for every clip, or
                the line saying why there is none; None takes the clips as they are.
        """
        text = text or self.settings.text

        def key_of(modality: str) -> str:
            key = json.dumps([*self._key, text, modality, clean, condition], sort_keys=True)
            return hashlib.sha256(key.encode()).hexdigest()[:24]

        kept = self._kept(key_of(modality))
        if kept is not None:
            return kept
        modalities = tuple(dict.fromkeys((modality, *also)))
        for name, found in self._answers(text, modalities, clean, condition, waveforms).items():
            self._keep(key_of(name), prediction_table(self.clips, found, classes=self.classes))
        return self._tables[key_of(modality)]

    def row(self, table: pd.DataFrame, **more: Any) -> Row:
        """A row of the results: who was asked, what the leak guard found, and the scores."""
        return {
            "kind": "model",
            "system": self.name,
            "weights_sha256": self.model.weights_sha256,
            "protocol": self.settings.protocol,
            "emotions": list(self.model.emotions),
            **more,
            **facts_of(self.model.heard, self.clips),
            "scores": score(table, classes=self.classes, seed=self.settings.seed),
        }

    def classifier(self, text: str) -> Classifier:
        """The model, loaded once, and once more with its transcriber if that is asked for."""
        heard = text == "asr"
        if heard not in self._classifiers:
            self._classifiers[heard] = load_classifier(
                self.model,
                text=text,
                classes=self.classes,
                batch_size=self.settings.batch_size,
                workers=self.settings.workers,
            )
        return self._classifiers[heard]

    def _kept(self, key: str) -> pd.DataFrame | None:
        file = self._file(key)
        if key not in self._tables and file is not None and file.is_file():
            self._tables[key] = pd.read_parquet(file)
        return self._tables.get(key)

    def _keep(self, key: str, table: pd.DataFrame) -> None:
        self._tables[key] = table
        if file := self._file(key):
            file.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(file.with_suffix(".new"), index=False)
            file.with_suffix(".new").replace(file)

    def _file(self, key: str) -> Path | None:
        return None if self.settings.cache is None else self.settings.cache / f"{key}.parquet"

    def _answers(
        self,
        text: str,
        modalities: Sequence[str],
        clean: bool | None,
        condition: str,
        waveforms: Waveforms | None,
    ) -> dict[str, list[Answer]]:
        classifier = self.classifier(text)
        sources, bad = None, {}
        if waveforms is not None:
            given = waveforms()
            bad = {i: item for i, item in enumerate(given) if isinstance(item, str)}
            sources = [
                {"array": item, "sampling_rate": SAMPLING_RATE} if i not in bad else SILENT
                for i, item in enumerate(given)
            ]
        found = ask(
            classifier,
            self.clips,
            text=text,
            modalities=modalities,
            # Processes are started for every call, so there are few calls where there are any.
            batch_size=MANY_CLIPS if self.settings.workers else 4 * self.settings.batch_size,
            clean=clean,
            what=f"{self.name} {condition}".strip(),
            sources=sources,
        )
        return {
            name: [self._told(bad.get(index, answer)) for index, answer in enumerate(answers)]
            for name, answers in found.items()
        }

    def _told(self, answer: Answer) -> Answer:
        return portable_line(answer, self.settings.data) if isinstance(answer, str) else answer


def askers(settings: Settings, outcome: Outcome) -> Iterator[Asker]:
    """One for every model, on the clips on which it may be tested.

    The facts about the first one's clips become those of the outcome.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    for model in settings.distinct_models:
        clips = read_clips(settings, [model])
        outcome.data = outcome.data or data_facts(settings, clips)
        yield Asker(model, clips, settings)


def facts_of(heard: Heard, clips: ClipSet) -> Row:
    """What is said of every scored row: the leak guard's finding, and which clips they were."""
    return {
        "overlap": overlap(heard, clips),
        "left_out": {"speakers": list(clips.left_out_speakers), "clips": clips.left_out_clips},
        "clips_sha256": clips.fingerprint(),
    }


def code_fingerprint(folder: Path) -> str:
    """Hash over the code that makes an answer, the model folder's own included."""
    digest = hashlib.sha256()
    sources = [ROOT / name for name in CODE]
    files = [f for path in sources for f in ([path] if path.is_file() else path.rglob("*.py"))]
    for file in [*sorted(files), *sorted(folder.glob("*.py"))]:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


class Timer:
    """Adds the seconds of a block to an outcome."""

    def __init__(self, outcome: Outcome, name: str) -> None:
        self._outcome, self._name = outcome, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._outcome.seconds[self._name] = round(time.perf_counter() - self._started, 2)

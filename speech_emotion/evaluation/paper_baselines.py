"""Tables 6 and 8 of the paper, trained and scored on a built corpus in both protocols."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpus_builder.reading import open_corpus
from speech_emotion import baselines
from speech_emotion.baselines.classical import ClassicalBaseline
from speech_emotion.baselines.feature_store import stored_features
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import (
    RESULTS,
    Outcome,
    Result,
    Settings,
    require_corpus,
    source_facts,
)
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.classifiers import Prediction
from speech_emotion.evaluation.clips import (
    HUB_ID,
    PROTOCOLS,
    ClipSet,
    corpus_configurations,
    read_corpus,
)
from speech_emotion.evaluation.leaks import read_record
from speech_emotion.evaluation.models import open_model
from speech_emotion.evaluation.paper_rows import TABLES, PaperRow, read_settings, train_commands
from speech_emotion.evaluation.paper_tables import paper_table
from speech_emotion.evaluation.provenance import portable, run_of
from speech_emotion.evaluation.scoring import prediction_table
from speech_emotion.training.baseline_config import CONFIGS, BaselineConfig
from speech_emotion.training.baselines import train_baseline
from speech_emotion.training.config import ConfigError
from speech_emotion.training.data import speakers_and_fingerprint
from speech_emotion.training.parsing import option, renamed
from speech_emotion.training.saving import TrainingFailed

KIND = "row"
"""Kind of a trained baseline in results files; renaming it would make older files unreadable."""

table = paper_table


@dataclass(frozen=True, kw_only=True)
class TableSettings(Settings):
    """Settings of a table; the test split of both protocols is scored, with its transcripts.

    The seed is that of the draw and of the bootstrap; a baseline's own seed is in its config.
    ``table`` is a key of :data:`TABLES`.
    """

    table: str = "table6"
    models: tuple[str, ...] = option((), "model folder or Hub id to show beside the baselines")
    runs: Path = option(Path("runs"), "folder of the trained baselines")
    neural: bool = option(
        False, "train missing neural baselines; without it the table shows their commands"
    )
    earlier: Path | None = option(
        None,
        "results file whose figures are kept for baselines and models that are not given or not "
        "trained here, if it scored the same clips (results/TABLE.json, where there is one)",
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """One protocol's clips.

    Attributes:
        protocol: "speaker_disjoint" or "paper".
        test: the clips to score.
        corpora: number of these by corpus.
        fingerprint: of the training split; a baseline with another one is trained again.
        transcribed: the training clips have transcripts by a transcriber.
    """

    protocol: str
    test: ClipSet
    corpora: dict[str, int]
    fingerprint: str
    transcribed: bool


class NotRun(Exception):
    """The reason why there are no figures; a line of Markdown."""


class Failed(NotRun):
    """The training was tried and failed: earlier figures would hide that."""


@dataclass(frozen=True)
class Earlier:
    """An earlier results file, for baselines that are not trained here.

    Attributes:
        content: the file's content.
        predictions: of every clip, from the file beside it.
    """

    content: dict[str, Any] = field(default_factory=dict)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def of(cls, settings: "TableSettings") -> "Earlier":
        """The results file that the settings name, or that of the table, where there is one.

        Raises:
            EvaluationError: it is not one.
        """
        file = settings.earlier or RESULTS / f"{settings.table}.json"
        return cls.read(file) if settings.earlier or file.is_file() else cls()

    @classmethod
    def read(cls, file: Path) -> "Earlier":
        """Read a results file.

        Raises:
            EvaluationError: it is not one.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(content, pd.read_parquet(file.with_name(content["predictions"])))
        except (OSError, ValueError, KeyError) as error:
            raise EvaluationError(f"--earlier {file}: no results file of a table") from error

    def find(self, wanted: Mapping[str, Any], part: Part) -> tuple[Result, pd.DataFrame] | None:
        """The result with these facts on exactly these clips, with the run that gave it.

        Returns:
            the result and its predictions; None when it is not there.
        """
        facts = {**wanted, "protocol": part.protocol, "clips_sha256": part.test.fingerprint()}
        for found in self.content.get("rows", []):
            if all(found.get(name) == value for name, value in facts.items()):
                table = self.predictions
                own = table["system"] == found["system"]
                own &= table["protocol"] == part.protocol
                return {"measured_by": run_of(self.content), **found}, table[own]
        return None

    def models(self) -> list[str]:
        """The models that it shows beside the baselines."""
        rows = self.content.get("rows", [])
        return list(dict.fromkeys(row["system"] for row in rows if row["kind"] == "model"))


def run(settings: TableSettings) -> Outcome:
    """Train missing classical baselines, and score every baseline in both protocols.

    Raises:
        EvaluationError: the data or a model cannot be used.
    """
    require_corpus(settings.data)
    models = settings.distinct_models
    missing = [name for name in PROTOCOLS if name not in corpus_configurations(settings.data)]
    if missing:
        raise EvaluationError(f"--data {settings.data}: has no configuration {', '.join(missing)}")
    parts = [_read_part(settings, protocol) for protocol in PROTOCOLS]
    outcome = Outcome(
        data={
            **source_facts(settings),
            "corpora": {part.protocol: part.corpora for part in parts},
            "removed": {part.protocol: part.test.removed for part in parts},
        }
    )
    earlier = Earlier.of(settings)
    for row in TABLES[settings.table]:
        for part in parts:
            facts: dict[str, Any] = {
                "system": row.name,
                "config": row.config,
                "paper": _printed(row),
                **({"instead": row.instead} if row.instead else {}),
                "protocol": part.protocol,
                "corpora": part.corpora,
            }
            try:
                with outcome.timed(f"{row.name}, {part.protocol}"):
                    table, scored = _score(row, part, settings)
            except NotRun as reason:
                found = earlier.find({"kind": KIND, "config": row.config}, part)
                if found and not isinstance(reason, Failed):
                    outcome.add(*found)
                    continue
                del facts["corpora"]
                outcome.not_run(facts.pop("system"), str(reason), **facts)
                continue
            result = {**scored, **facts, "kind": KIND}
            outcome.add(result, table, protocol=part.protocol)
    for model in models:
        own = model.protocol or PROTOCOLS[0]
        part = next(part for part in parts if part.protocol == own)
        predictor = CachedPredictor(model, part.test, settings)
        with outcome.timed(f"{predictor.name}, {own}"):
            table = predictor.predict()
        more = {"config": None, "paper": None, "protocol": own, "corpora": part.corpora}
        outcome.add(predictor.result(table, **more), table, protocol=own)
    given = {portable(model.name) for model in models}
    for name in earlier.models():
        for part in parts if name not in given else ():
            found = earlier.find({"kind": "model", "system": name}, part)
            if found and _has_weights(name, found[0]["weights_sha256"]):
                outcome.add(*found)
    outcome.results.append({"kind": "chance", "protocol": None, "classes": 7})
    return outcome


def _read_part(settings: TableSettings, protocol: str) -> Part:
    test = read_corpus(settings.data, protocol, "test")
    test = test.limited(settings.limit, seed=settings.seed)
    train = open_corpus(settings.data, protocol, split="train")
    return Part(
        protocol=protocol,
        test=test,
        corpora=dict(sorted(Counter(test.corpora).items())),
        fingerprint=speakers_and_fingerprint(train)[1],
        transcribed="whisper_transcript" in train.column_names
        and any(train["whisper_transcript"][:]),
    )


def _has_weights(name: str, weights: str) -> bool:
    """Whether a model still has these weights, as far as it is here."""
    return not Path(name).is_dir() or open_model(name).weights_sha256 == weights


def folder_of(row: PaperRow, protocol: str, runs: Path) -> Path:
    """Folder of a baseline; that of the speaker-disjoint protocol has the name of its config."""
    return runs / (row.config if protocol == PROTOCOLS[0] else f"{row.config}_{protocol}")


def _score(
    row: PaperRow, part: Part, settings: TableSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A baseline's predictions and result.

    Raises:
        NotRun: it is not trained, and this command does not train it.
    """
    folder = folder_of(row, part.protocol, settings.runs)
    try:
        given = read_settings(row.config)
        command = train_commands(
            row.config,
            protocol=part.protocol,
            data=portable(settings.data),
            output_dir=portable(str(folder)),
            transcribed=part.transcribed,
        )
    except ConfigError as error:
        raise NotRun(f"no configs/{row.config}.yaml; run this in a checkout") from error
    more: dict[str, Any] = {}
    if "family" in given:
        cache = settings.runs / "cache"
        places = {"data": settings.data, "output_dir": str(folder), "cache": str(cache)}
        wanted = CONFIGS[given["family"]](**given | places | {"protocol": part.protocol})
        _train_if_needed(wanted, part, settings, command)
        trained = baselines.load(folder)
        more = {
            "trained_on": trained.config["training"]["data"],
            "row_seed": trained.config["training"]["seed"],
            "initialisation": trained.config.get("initialisation"),
        }
        if isinstance(trained, ClassicalBaseline):
            predictor = CachedPredictor(open_model(str(folder)), part.test, settings)
            found = _classical_predictions(trained, part.test, wanted.cache)
            return (table := prediction_table(part.test, found)), predictor.result(table, **more)
    elif not (folder / baselines.CONFIG_FILE).is_file():
        named = [str(source) for source in given["model"].values()]
        hub = any(HUB_ID.fullmatch(one) and not one.startswith("checkpoints") for one in named)
        raise NotRun(f"{'needs weights from the Hub' if hub else 'not trained'}: {command}")
    model = open_model(str(folder))
    record = read_record(folder) or {}
    if (record.get("protocol"), record.get("fingerprint")) != (part.protocol, part.fingerprint):
        raise NotRun(f"{portable(str(folder))} was trained on other clips: {command}")
    if "family" not in given:
        used = record.get("settings", {})
        more = {"trained_on": record["data"], "row_seed": record["seed"]}
        more["epochs"] = used.get("num_train_epochs")
        more["transcripts"] = used.get("transcripts") if "text_config" in given["model"] else None
    predictor = CachedPredictor(model, part.test, settings)
    return (table := predictor.predict()), predictor.result(table, **more)


def _train_if_needed(
    wanted: BaselineConfig, part: Part, settings: TableSettings, command: str
) -> None:
    reason = _unlike(Path(wanted.output_dir), wanted.to_dict(), part)
    if not reason:
        return
    if wanted.family != "classical" and not settings.neural:
        raise NotRun(f"{reason}{command}")
    try:
        train_baseline(wanted)
    except (ConfigError, baselines.BaselineError, TrainingFailed) as error:
        raise Failed(f"{error}: {command}") from error


def _unlike(folder: Path, wanted: dict[str, Any], part: Part) -> str | None:
    """Why a folder is not the wanted baseline; None when it is."""
    if not (folder / baselines.CONFIG_FILE).is_file():
        return "not trained: "
    try:
        training = baselines.load(folder).config["training"]
        settings = renamed(training["settings"])
    except (baselines.BaselineError, KeyError) as error:
        return f"{error}: "
    if training["fingerprint"] != part.fingerprint or training["protocol"] != part.protocol:
        return f"{portable(str(folder))} was trained on other clips: "
    if any(wanted[name] != value for name, value in settings.items()):
        return f"{portable(str(folder))} was trained with other settings: "
    return None


def _classical_predictions(
    baseline: ClassicalBaseline, test: ClipSet, cache: str
) -> list[Prediction]:
    clips = stored_features(test.clips, cache, what="test")
    found: list[Prediction] = [clips.left_out.get(name, "") for name in test.clips["utterance_id"]]
    probabilities = baseline.from_features(np.stack(clips.values))
    for index, prediction in zip(clips.kept, probabilities, strict=True):
        found[index] = prediction
    return found


def _printed(row: PaperRow) -> dict[str, float] | None:
    return None if row.wa is None or row.ua is None else {"wa": row.wa, "ua": row.ua}

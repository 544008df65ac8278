"""The RAVDESS benchmark (paper, Table 9): what is scored on which clips, in which order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import metrics
from corpus_builder.labels import EMOTIONS, NEUTRAL, VOTE_CLASSES
from evaluation import EvaluationError, baseline
from evaluation.clips import (
    PROTOCOLS,
    ClipSet,
    corpus_configurations,
    is_raw_folder,
    read_corpus,
    read_raw_ravdess,
)
from evaluation.folds import read_folds
from evaluation.leaks import Heard, overlap
from evaluation.measuring import Outcome, Row, build_fingerprint
from evaluation.models import TEXT_MODES, Answer, Model, ask, load_recogniser, open_model
from evaluation.provenance import portable
from evaluation.scoring import prediction_table, score

NO_PAPER_SPLIT = (
    "a raw folder does not say which clips are the test split of the paper's protocol; "
    "a model trained for it is scored on the corpus it was trained on"
)


@dataclass(frozen=True, kw_only=True)
class RavdessConfig:
    """Settings of the benchmark.

    Args:
        models: folders or Hub ids.
        data: a built corpus's folder, a Hub data set id, or a raw RAVDESS folder.
        split: the split of a built corpus that is scored.
        text: where the models' text comes from: "corpus", "none" or "asr".
        limit: score at most this many clips of each set, drawn at random.
        batch_size: clips in one forward pass; it does not change the answers.
        folds: folders of cross-validations to show beside the models.
        seed: seed of the draw, the bootstrap and the baseline.
    """

    models: tuple[str, ...]
    data: str
    split: str = "test"
    text: str = "corpus"
    limit: int | None = None
    batch_size: int = 8
    folds: tuple[str, ...] = ()
    seed: int = metrics.SEED

    def __post_init__(self) -> None:
        if self.text not in TEXT_MODES:
            raise EvaluationError(f"--text {self.text}: choose from {', '.join(TEXT_MODES)}")
        if self.batch_size < 1:
            raise EvaluationError(f"--batch-size {self.batch_size}: must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise EvaluationError(f"--limit {self.limit}: must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Section:
    """The systems of one protocol and the clips they are all scored on.

    Attributes:
        protocol: "speaker_disjoint" or "paper".
        models: the models of this protocol; none gives a row that says how to get one.
        test: the clips to score; None when the data has none for this protocol.
        train: the clips the baseline learns from; None when the data has none.
    """

    protocol: str
    models: tuple[Model, ...]
    test: ClipSet | None
    train: ClipSet | None


def run(config: RavdessConfig) -> Outcome:
    """Score every model under the protocol it was trained for, with the yardsticks beside it.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    models = [open_model(name) for name in dict.fromkeys(config.models)]
    raw = is_raw_folder(config.data)
    sections = _raw_sections(models, config) if raw else _corpus_sections(models, config)
    clips = next(section.test for section in sections if section.test is not None)
    outcome = Outcome(
        data={
            "kind": "raw" if raw else "corpus",
            "source": portable(config.data),
            "build_fingerprint": None if raw else build_fingerprint(config.data),
            "split": None if raw else config.split,
            "text": config.text,
            "limit": config.limit,
            "removed": clips.removed,
            "rejected": list(clips.rejected),
        }
    )
    for section in sections:
        if not section.models:
            outcome.rows.append(_not_run("multimodal model", section, _how_to_run(section, config)))
        for model in section.models:
            _score_model(model, section, config, outcome)
        _score_baseline(section, config, outcome)
    for model in models:
        if model.covers_all and NEUTRAL in model.emotions and model.protocol != "paper":
            _score_eight(model, config, outcome)
    for folder in config.folds:
        text = "none" if config.text == "none" else "corpus"
        row, table = read_folds(folder, corpus="ravdess", text=text, seed=config.seed)
        outcome.rows.append(row)
        outcome.tables.append(table)
    outcome.rows.append({"kind": "chance", "protocol": None, "classes": len(EMOTIONS)})
    outcome.rows.append({"kind": "paper", "protocol": "paper"})
    return outcome


def _corpus_sections(models: list[Model], config: RavdessConfig) -> list[Section]:
    """One section per protocol, the headline first."""
    configurations = corpus_configurations(config.data)
    sections = []
    for protocol in PROTOCOLS:
        # A model that does not say how it was trained is held to the headline's protocol.
        own = tuple(m for m in models if (m.protocol or PROTOCOLS[0]) == protocol)
        test = train = None
        if protocol in configurations or own:
            test = read_corpus(config.data, protocol, config.split, corpus="ravdess")
            test = test.limited(config.limit, seed=config.seed)
            train = read_corpus(config.data, protocol, "train")
        sections.append(Section(protocol=protocol, models=own, test=test, train=train))
    return sections


def _raw_sections(models: list[Model], config: RavdessConfig) -> list[Section]:
    """One section per model, on the speakers that it was not trained on."""
    folder = read_raw_ravdess(config.data)
    sections = []
    for model in (model for model in models if model.protocol != "paper"):
        heard = model.speakers or frozenset()
        test = folder.without_speakers(heard)
        if not len(test.clips):
            raise EvaluationError(
                f"--data {config.data}: empty split: --model {model.name} was trained on every "
                "speaker in it"
            )
        sections.append(
            Section(
                protocol="speaker_disjoint",
                models=(model,),
                test=test.limited(config.limit, seed=config.seed),
                train=folder.only_speakers(heard) if test.left_out_clips else None,
            )
        )
    speaker_dependent = tuple(model for model in models if model.protocol == "paper")
    if not sections:
        raise EvaluationError(f"--data {config.data}: {NO_PAPER_SPLIT} (--model {models[0].name})")
    return [*sections, Section(protocol="paper", models=speaker_dependent, test=None, train=None)]


def _score_model(model: Model, section: Section, config: RavdessConfig, outcome: Outcome) -> None:
    if section.test is None:
        outcome.rows.append(_not_run(portable(model.name), section, NO_PAPER_SPLIT))
        return
    started = time.perf_counter()
    test = section.test if model.covers_all else section.test.of_emotions(model.emotions)
    section = replace(section, test=test)
    recogniser = load_recogniser(model, text=config.text, batch_size=config.batch_size)
    found = ask(recogniser, test, text=config.text, batch_size=config.batch_size)
    row = {
        "kind": "model",
        "system": portable(model.name),
        "weights_sha256": model.weights_sha256,
        "emotions": list(model.emotions),
        **_facts(section, model.heard),
    }
    _add(row, section, found, started, config, outcome)


def _score_eight(model: Model, config: RavdessConfig, outcome: Outcome) -> None:
    """All eight emotions of RAVDESS, where both the model and the data have neutral."""
    if is_raw_folder(config.data):
        test = read_raw_ravdess(config.data, classes=VOTE_CLASSES)
        test = test.without_speakers(model.speakers or ())
    else:
        test = read_corpus(
            config.data, PROTOCOLS[0], config.split, corpus="ravdess", classes=VOTE_CLASSES
        )
    if VOTE_CLASSES.index(NEUTRAL) not in test.labels:
        return
    started = time.perf_counter()
    test = test.limited(config.limit, seed=config.seed)
    section = Section(protocol=PROTOCOLS[0], models=(model,), test=test, train=None)
    recogniser = load_recogniser(
        model, text=config.text, classes=VOTE_CLASSES, batch_size=config.batch_size
    )
    found = ask(recogniser, test, text=config.text, batch_size=config.batch_size)
    row = {
        "kind": "model",
        "system": portable(model.name),
        "classes": len(VOTE_CLASSES),
        "weights_sha256": model.weights_sha256,
        "emotions": list(model.emotions),
        **_facts(section, model.heard),
    }
    _add(row, section, found, started, config, outcome, classes=VOTE_CLASSES)


def _score_baseline(section: Section, config: RavdessConfig, outcome: Outcome) -> None:
    if section.test is None or section.train is None:
        reason = f"`--data {portable(config.data)}` has no training clips for it"
        outcome.rows.append(_not_run(baseline.NAME, section, reason))
        return
    started = time.perf_counter()
    classifier, skipped = baseline.fit(section.train, seed=config.seed)
    found = baseline.classify(classifier, baseline.mfcc_features(section.test))
    row = {
        "kind": "baseline",
        "system": baseline.NAME,
        "skipped_in_training": skipped,
        **_facts(section, Heard(speakers=frozenset(section.train.speakers))),
    }
    _add(row, section, found, started, config, outcome)


def _facts(section: Section, heard: Heard) -> Row:
    """What is said of every scored row, the leak guard's finding first."""
    test = section.test
    return {
        "protocol": section.protocol,
        "overlap": overlap(heard, test),
        "left_out": {"speakers": list(test.left_out_speakers), "clips": test.left_out_clips},
        "clips_sha256": test.fingerprint(),
    }


def _add(
    row: Row,
    section: Section,
    found: list[Answer],
    started: float,
    config: RavdessConfig,
    outcome: Outcome,
    *,
    classes: Sequence[str] = EMOTIONS,
) -> None:
    # An error line may name the file it is about: keep this machine's folders out of it.
    found = [
        item.replace(config.data, portable(config.data)) if isinstance(item, str) else item
        for item in found
    ]
    table = prediction_table(section.test, found, classes=classes)
    outcome.rows.append(row | {"scores": score(table, classes=classes, seed=config.seed)})
    name = row["system"] if classes == EMOTIONS else f"{row['system']}, eight classes"
    outcome.tables.append(table.assign(system=name, protocol=section.protocol))
    name = f"{name}, {section.protocol}"
    outcome.seconds[name] = round(time.perf_counter() - started, 2)


def _not_run(system: str, section: Section, reason: str) -> Row:
    return {
        "kind": "not_run",
        "system": system,
        "protocol": section.protocol,
        "reason": reason,
    }


def _how_to_run(section: Section, config: RavdessConfig) -> str:
    return (
        f"`python train.py --config configs/mini.yaml --protocol {section.protocol} "
        f"--data {portable(config.data)} --out FOLDER`, then add `--model FOLDER`"
    )

"""The RAVDESS benchmark (paper, Table 9): what is scored on which clips, in which order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS, NEUTRAL
from speech_emotion.evaluation import EvaluationError, baseline
from speech_emotion.evaluation.clips import (
    PROTOCOLS,
    WHOLE,
    ClipSet,
    EmptyError,
    corpus_configurations,
    is_raw_folder,
    read_corpus,
    read_raw_ravdess,
    read_whole,
)
from speech_emotion.evaluation.folds import folds_row, published_fold, read_folds
from speech_emotion.evaluation.leaks import Heard
from speech_emotion.evaluation.measuring import (
    Asker,
    Outcome,
    Row,
    Settings,
    Timer,
    build_fingerprint,
    facts_of,
)
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import prediction_table, score

NO_PAPER_SPLIT = (
    "a raw folder does not say which clips are the test split of the paper's protocol; "
    "a model trained for it is scored on the corpus it was trained on"
)


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


def run(settings: Settings) -> Outcome:
    """Score every model under the protocol it was trained for, with the yardsticks beside it.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    models = settings.distinct_models
    raw = is_raw_folder(settings.data)
    sections = _raw_sections(models, settings) if raw else _corpus_sections(models, settings)
    clips = next(section.test for section in sections if section.test is not None)
    outcome = Outcome(
        data={
            "kind": "raw" if raw else "corpus",
            "source": portable(settings.data),
            "build_fingerprint": None if raw else build_fingerprint(settings.data),
            "split": None if raw else settings.split,
            "text": settings.text,
            "limit": settings.limit,
            "removed": clips.removed,
            "rejected": list(clips.rejected),
        }
    )
    mfccs = baseline.Mfccs(settings.data)
    for section in sections:
        if not section.models:
            reason = _how_to_run(section, settings)
            outcome.rows.append(_not_run("multimodal model", section, reason))
        for model in section.models:
            _score_model(model, section, settings, outcome)
        _score_baseline(section, settings, mfccs, outcome)
    for model in models:
        if model.covers_all and NEUTRAL in model.emotions and model.protocol != "paper":
            _score_eight(model, settings, outcome)
    for folder in settings.folds:
        text = "none" if settings.text == "none" else "corpus"
        row, table = read_folds(folder, corpus="ravdess", text=text, seed=settings.seed)
        outcome.rows.append(row)
        outcome.tables.append(table)
    if raw or WHOLE in corpus_configurations(settings.data):
        for classes in (EMOTIONS, VOTE_CLASSES):
            _score_folds(classes, settings, mfccs, outcome)
    for classes in sorted({row.get("classes", len(EMOTIONS)) for row in outcome.rows}):
        outcome.rows.append({"kind": "chance", "protocol": None, "classes": classes})
    outcome.rows.append({"kind": "paper", "protocol": "paper"})
    return outcome


def _corpus_sections(models: list[Model], settings: Settings) -> list[Section]:
    """One section per protocol, the headline first."""
    configurations = corpus_configurations(settings.data)
    sections = []
    for protocol in PROTOCOLS:
        # A model that does not say how it was trained is held to the headline's protocol.
        own = tuple(m for m in models if (m.protocol or PROTOCOLS[0]) == protocol)
        test = train = None
        if protocol in configurations or own:
            test = read_corpus(settings.data, protocol, settings.split, corpus="ravdess")
            test = test.limited(settings.limit, seed=settings.seed)
            train = read_corpus(settings.data, protocol, "train")
        sections.append(Section(protocol=protocol, models=own, test=test, train=train))
    return sections


def _raw_sections(models: list[Model], settings: Settings) -> list[Section]:
    """One section per model, on the speakers that it was not trained on."""
    folder = read_raw_ravdess(settings.data)
    sections = []
    for model in (model for model in models if model.protocol != "paper"):
        heard = model.speakers or frozenset()
        test = folder.without_speakers(heard)
        if not len(test.clips):
            raise EvaluationError(
                f"--data {settings.data}: empty split: --model {model.name} was trained on every "
                "speaker in it"
            )
        sections.append(
            Section(
                protocol="speaker_disjoint",
                models=(model,),
                test=test.limited(settings.limit, seed=settings.seed),
                train=folder.only_speakers(heard) if test.left_out_clips else None,
            )
        )
    speaker_dependent = tuple(model for model in models if model.protocol == "paper")
    if not sections:
        raise EvaluationError(
            f"--data {settings.data}: {NO_PAPER_SPLIT} (--model {models[0].name})"
        )
    return [*sections, Section(protocol="paper", models=speaker_dependent, test=None, train=None)]


def _score_model(model: Model, section: Section, settings: Settings, outcome: Outcome) -> None:
    if section.test is None:
        outcome.rows.append(_not_run(portable(model.name), section, NO_PAPER_SPLIT))
        return
    test = section.test if model.covers_all else section.test.of_emotions(model.emotions)
    _ask(Asker(model, test, settings), section.protocol, outcome)


def _score_eight(model: Model, settings: Settings, outcome: Outcome) -> None:
    """All eight emotions of RAVDESS, where both the model and the data have neutral."""
    if is_raw_folder(settings.data):
        test = read_raw_ravdess(settings.data, classes=VOTE_CLASSES)
        test = test.without_speakers(model.speakers or ())
    else:
        test = read_corpus(
            settings.data, PROTOCOLS[0], settings.split, corpus="ravdess", classes=VOTE_CLASSES
        )
    if VOTE_CLASSES.index(NEUTRAL) not in test.labels:
        return
    test = test.limited(settings.limit, seed=settings.seed)
    asker = Asker(model, test, settings, classes=VOTE_CLASSES)
    _ask(asker, PROTOCOLS[0], outcome, classes=len(VOTE_CLASSES))


def _ask(asker: Asker, protocol: str, outcome: Outcome, **more: int) -> None:
    name = f"{asker.name}, eight classes" if more else asker.name
    with Timer(outcome, f"{name}, {protocol}"):
        table = asker.table()
    outcome.rows.append(asker.row(table, protocol=protocol, **more))
    outcome.tables.append(table.assign(system=name, protocol=protocol))


def _score_baseline(
    section: Section, settings: Settings, mfccs: baseline.Mfccs, outcome: Outcome
) -> None:
    if section.test is None or section.train is None:
        reason = f"`--data {portable(settings.data)}` has no training clips for it"
        outcome.rows.append(_not_run(baseline.NAME, section, reason))
        return
    with Timer(outcome, f"{baseline.NAME}, {section.protocol}"):
        features = mfccs(section.train)
        classifier = baseline.fit(features, section.train.labels, seed=settings.seed)
        found = baseline.classify(classifier, mfccs(section.test))
    table = prediction_table(section.test, found)
    names = section.train.clips["utterance_id"][:]
    skipped = {
        name: line for name, line in zip(names, features, strict=True) if isinstance(line, str)
    }
    outcome.rows.append(
        {
            "kind": "baseline",
            "system": baseline.NAME,
            "protocol": section.protocol,
            "skipped_in_training": skipped,
            **facts_of(Heard(speakers=frozenset(section.train.speakers)), section.test),
            "scores": score(table, seed=settings.seed),
        }
    )
    outcome.tables.append(table.assign(system=baseline.NAME, protocol=section.protocol))


def _score_folds(
    classes: Sequence[str], settings: Settings, mfccs: baseline.Mfccs, outcome: Outcome
) -> None:
    """The yardstick on the field's subject-wise folds, as far as their actors are at hand."""
    try:
        clips = _all_of_ravdess(classes, settings)
    except EmptyError:
        return
    clips = clips.chosen([published_fold(name) is not None for name in clips.speakers])
    clips = clips.limited(settings.limit, seed=settings.seed)
    folds = np.array([published_fold(name) for name in clips.speakers], dtype=int)
    eight = classes != EMOTIONS
    if len(set(folds)) < 2 or (eight and VOTE_CLASSES.index(NEUTRAL) not in clips.labels):
        return
    with Timer(outcome, f"{baseline.NAME}, folds, {len(classes)} classes"):
        features = mfccs(clips)
        try:
            found = baseline.from_the_others(
                features, clips.labels, folds, seed=settings.seed, classes=classes
            )
        except EvaluationError as error:
            row = {"kind": "not_run", "system": baseline.NAME, "protocol": "folds"}
            outcome.rows.append(row | {"reason": str(error)})
            return
    table = prediction_table(clips, found, classes=classes).assign(fold=folds)
    row = folds_row(
        table,
        system=baseline.NAME,
        corpus="ravdess",
        heard={fold: set(clips.speakers[folds != fold]) for fold in set(folds.tolist())},
        seed=settings.seed,
        classes=classes,
        clips_sha256=clips.fingerprint(),
    )
    outcome.rows.append(row)
    name = f"{baseline.NAME}, eight classes" if eight else baseline.NAME
    outcome.tables.append(table.assign(system=name, protocol="folds"))


def _all_of_ravdess(classes: Sequence[str], settings: Settings) -> ClipSet:
    if is_raw_folder(settings.data):
        return read_raw_ravdess(settings.data, classes=classes)
    return read_whole(settings.data, corpus="ravdess", classes=classes)


def _not_run(system: str, section: Section, reason: str) -> Row:
    return {
        "kind": "not_run",
        "system": system,
        "protocol": section.protocol,
        "reason": reason,
    }


def _how_to_run(section: Section, settings: Settings) -> str:
    return (
        f"`python train.py --config configs/mini.yaml --protocol {section.protocol} "
        f"--data {portable(settings.data)} --out FOLDER`, then add `--model FOLDER`"
    )

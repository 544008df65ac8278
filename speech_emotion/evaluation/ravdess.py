"""The RAVDESS benchmark (paper, Table 9)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS, NEUTRAL
from speech_emotion.evaluation import EvaluationError, mfcc_baseline
from speech_emotion.evaluation.benchmark import Outcome, Settings, source_facts
from speech_emotion.evaluation.cached_predictor import CachedPredictor
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
from speech_emotion.evaluation.folds import (
    folds_result,
    predicted_classes,
    published_fold,
    read_folds,
)
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.paper_rows import train_commands
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import prediction_table
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    PROTOCOL_NAMES,
    SEEN,
    TEXT_NAMES,
    Result,
    ResultsFile,
    closing_notes,
    counts,
    fold_list,
    interval_note,
    limit_notes,
    markdown_table,
    models_of,
    overlap_cell,
    percent,
    system_of,
    title_of,
    wa_and_ua,
    with_interval,
    with_notes,
)

NO_PAPER_SPLIT = (
    "a raw folder does not say which clips are the test split of the paper's protocol; "
    "score a model trained for it on the built corpus of its training"
)

BUILT = "corpus"
"""The corpus that ``make data`` builds, with every protocol."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The models of one protocol and the clips they are all scored on.

    Attributes:
        protocol: "speaker_disjoint" or "paper".
        models: the models of this protocol; without one the result has a command to train one.
        test: the clips to score; None when the data has none for this protocol.
        train: the training clips of the MFCC baseline; None when the data has none.
    """

    protocol: str
    models: tuple[Model, ...]
    test: ClipSet | None
    train: ClipSet | None


def run(settings: Settings) -> Outcome:
    """Score every model under the protocol it was trained for, beside the MFCC baseline.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    models = settings.distinct_models
    raw = is_raw_folder(settings.data)
    sections = _raw_sections(models, settings) if raw else _corpus_sections(models, settings)
    clips = next(section.test for section in sections if section.test is not None)
    outcome = Outcome(
        data={
            **source_facts(settings),
            "removed": clips.removed,
            "rejected": list(clips.rejected),
        }
    )
    mfccs = mfcc_baseline.Mfccs(settings.data)
    for section in sections:
        if not section.models:
            reason = _training(section.protocol, section.test is not None, settings)
            outcome.not_run("multimodal model", reason, protocol=section.protocol)
        for model in section.models:
            _score_model(model, section, settings, outcome)
        _score_baseline(section, settings, mfccs, outcome)
    for model in models:
        if model.covers_all and NEUTRAL in model.emotions and model.protocol != "paper":
            _score_eight(model, settings, outcome)
    for folder in settings.folds:
        text = "none" if settings.text == "none" else "corpus"
        for classes in (EMOTIONS, VOTE_CLASSES):
            if set(classes) <= set(predicted_classes(folder)) or classes is EMOTIONS:
                found = read_folds(
                    folder, corpus="ravdess", text=text, seed=settings.seed, classes=classes
                )
                outcome.add(*found)
    if not settings.folds:
        outcome.not_run("cross-validation", _cross_validation(settings), protocol="folds")
    if raw or WHOLE in corpus_configurations(settings.data):
        for classes in (EMOTIONS, VOTE_CLASSES):
            _score_folds(classes, settings, mfccs, outcome)
    for classes in sorted({one.get("classes", len(EMOTIONS)) for one in outcome.results}):
        outcome.results.append({"kind": "chance", "protocol": None, "classes": classes})
    outcome.results.append({"kind": "paper", "protocol": "paper"})
    return outcome


def _corpus_sections(models: list[Model], settings: Settings) -> list[Section]:
    """One section per protocol, the headline first."""
    configurations = corpus_configurations(settings.data)
    sections = []
    for protocol in PROTOCOLS:
        # A model without a protocol in its record is scored under the headline's.
        own = tuple(m for m in models if (m.protocol or PROTOCOLS[0]) == protocol)
        test = train = None
        if protocol in configurations or own:
            test = read_corpus(settings.data, protocol, settings.split, corpus="ravdess")
            test = test.limited(settings.limit, seed=settings.seed)
            train = read_corpus(settings.data, protocol, "train")
        sections.append(Section(protocol=protocol, models=own, test=test, train=train))
    return sections


def _raw_sections(models: list[Model], settings: Settings) -> list[Section]:
    """One section per model, on the speakers outside its training data."""
    folder = read_raw_ravdess(settings.data)
    sections = []
    for model in (model for model in models if model.protocol != "paper"):
        seen = model.speakers or frozenset()
        test = folder.without_speakers(seen)
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
                train=folder.only_speakers(seen) if test.left_out_clips else None,
            )
        )
    speaker_dependent = tuple(model for model in models if model.protocol == "paper")
    if not sections:
        raise EvaluationError(
            f"--data {settings.data}: {NO_PAPER_SPLIT} (--model {models[0].name})"
        )
    return [*sections, Section(protocol="paper", models=speaker_dependent, test=None, train=None)]


def _training(protocol: str, here: bool, settings: Settings) -> str:
    """How to train the paper's model and to score it; the data may lack the protocol."""
    data = portable(settings.data) if here else BUILT
    output_dir = f"runs/hubert_bert{'_paper' if protocol == 'paper' else ''}"
    commands = train_commands("hubert_bert", protocol=protocol, data=data, output_dir=output_dir)
    if here:
        return f"{commands}, then add `--model {output_dir}`"
    return f"`make data`, then {commands}, then {_on_corpus(output_dir)}"


def _on_corpus(model: str, options: str = "") -> str:
    return f"`python evaluate_benchmarks.py ravdess --data {BUILT} --model {model}{options}`"


def _cross_validation(settings: Settings) -> str:
    """How to cross-validate; the data may lack the folds."""
    here = not is_raw_folder(settings.data) and WHOLE in corpus_configurations(settings.data)
    data = portable(settings.data) if here else BUILT
    folder = "runs/hubert_folds"
    train = f"python train.py --config configs/hubert.yaml --data {data} --folds all"
    commands = f"`{train} --fold-corpus ravdess --output-dir {folder}`, then "
    if here:
        return f"{commands}add `--folds {folder}`"
    scored = _on_corpus(portable(settings.models[0]), f" --folds {folder}")
    return f"`make data`, then {commands}{scored}"


def _score_model(model: Model, section: Section, settings: Settings, outcome: Outcome) -> None:
    if section.test is None:
        name = portable(model.name)
        reason = f"{NO_PAPER_SPLIT}: `make data`, then {_on_corpus(name)}"
        outcome.not_run(name, reason, protocol=section.protocol)
        return
    test = section.test if model.covers_all else section.test.of_emotions(model.emotions)
    _predict(CachedPredictor(model, test, settings), section.protocol, outcome)


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
    predictor = CachedPredictor(model, test, settings, classes=VOTE_CLASSES)
    _predict(predictor, PROTOCOLS[0], outcome, classes=len(VOTE_CLASSES))


def _predict(predictor: CachedPredictor, protocol: str, outcome: Outcome, **more: int) -> None:
    name = f"{predictor.name}, eight classes" if more else predictor.name
    with outcome.timed(f"{name}, {protocol}"):
        table = predictor.predict()
    result = predictor.result(table, protocol=protocol, **more)
    outcome.add(result, table, system=name, protocol=protocol)


def _score_baseline(
    section: Section, settings: Settings, mfccs: mfcc_baseline.Mfccs, outcome: Outcome
) -> None:
    if section.test is None or section.train is None:
        name = portable(settings.models[0])
        reason = f"`--data {portable(settings.data)}` has no training clips for it: "
        reason += f"`make data`, then {_on_corpus(name)}"
        outcome.not_run(mfcc_baseline.NAME, reason, protocol=section.protocol)
        return
    with outcome.timed(f"{mfcc_baseline.NAME}, {section.protocol}"):
        features = mfccs(section.train)
        classifier = mfcc_baseline.fit(features, section.train.labels, seed=settings.seed)
        found = mfcc_baseline.predict(classifier, mfccs(section.test))
    table = prediction_table(section.test, found)
    names = section.train.clips["utterance_id"][:]
    skipped = {
        name: line for name, line in zip(names, features, strict=True) if isinstance(line, str)
    }
    result = mfcc_baseline.baseline_result(
        table,
        section.test,
        section.train.speakers.tolist(),
        seed=settings.seed,
        protocol=section.protocol,
        skipped_in_training=skipped,
    )
    outcome.add(result, table, protocol=section.protocol)


def _score_folds(
    classes: Sequence[str], settings: Settings, mfccs: mfcc_baseline.Mfccs, outcome: Outcome
) -> None:
    """The MFCC baseline on the published subject-wise folds that the data has actors of."""
    try:
        if is_raw_folder(settings.data):
            clips = read_raw_ravdess(settings.data, classes=classes)
        else:
            clips = read_whole(settings.data, corpus="ravdess", classes=classes)
    except EmptyError:
        return
    clips = clips.chosen([published_fold(name) is not None for name in clips.speakers])
    clips = clips.limited(settings.limit, seed=settings.seed)
    folds = np.array([published_fold(name) for name in clips.speakers], dtype=int)
    eight = classes != EMOTIONS
    if len(set(folds)) < 2 or (eight and VOTE_CLASSES.index(NEUTRAL) not in clips.labels):
        return
    with outcome.timed(f"{mfcc_baseline.NAME}, folds, {len(classes)} classes"):
        features = mfccs(clips)
        try:
            found = mfcc_baseline.cross_predict(
                features, clips.labels, folds, seed=settings.seed, classes=classes
            )
        except EvaluationError as error:
            outcome.not_run(mfcc_baseline.NAME, str(error), protocol="folds")
            return
    table = prediction_table(clips, found, classes=classes).assign(fold=folds)
    result = folds_result(
        table,
        system=mfcc_baseline.NAME,
        corpus="ravdess",
        seen={fold: set(clips.speakers[folds != fold]) for fold in set(folds.tolist())},
        seed=settings.seed,
        classes=classes,
        clips_sha256=clips.fingerprint(),
    )
    name = f"{mfcc_baseline.NAME}, eight classes" if eight else mfcc_baseline.NAME
    outcome.add(result, table, system=name, protocol="folds")


PAPER_TABLE_9 = {"wa": 0.7845, "ua": 0.7931}


def table(results: ResultsFile) -> str:
    """The RAVDESS benchmark (paper, Table 9) with its baselines and notes."""
    header = ("System", "Protocol", "WA", "UA", "UA+WA", "Clips", "Speakers", SEEN)
    headline_first = sorted(results["rows"], key=lambda result: result["kind"] != "folds")
    table = markdown_table(header, map(_cells, headline_first))
    return with_notes(table, notes=_notes(results))


def ravdess_summary(results: ResultsFile) -> str:
    """One sentence per scored model."""
    return "\n".join(
        f"- {title_of(result)}: WA {wa}, UA {ua}, "
        f"UA+WA {with_interval(result, 'ua_plus_wa')} on {result['scores']['clips']} clips of "
        f"{result['scores']['speakers']} speakers; test speakers in the training data: "
        f"{overlap_cell(result)}."
        for result in models_of(results)
        for wa, ua in [wa_and_ua(result)]
    )


def _cells(result: Result) -> tuple[str, ...]:
    protocol = PROTOCOL_NAMES[result["protocol"]]
    match result["kind"]:
        case "not_run":
            return (result["system"], protocol, *[NOT_RUN] * 3, "", "", result["reason"])
        case "chance":
            chance = 1 / result["classes"]
            figures = [percent(value) for value in (chance, chance, 2 * chance)]
            return (f"chance (1/{result['classes']})", protocol, *figures, "", "", "")
        case "paper":
            wa, ua = PAPER_TABLE_9["wa"], PAPER_TABLE_9["ua"]
            figures = [percent(value, digits=2) for value in (wa, ua, wa + ua)]
            return ("paper, Table 9, as printed", protocol, *figures, "", "", "not stated")
        case "folds":
            kind = "published folds" if result["published"] else "folds"
            protocol = f"speaker-disjoint, {len(result['folds'])} {kind}"
    figures = [*wa_and_ua(result), with_interval(result, "ua_plus_wa")]
    return (system_of(result), protocol, *figures, *counts(result), overlap_cell(result))


def _notes(results: ResultsFile) -> list[str]:
    data = results["data"]
    return [
        f"WA, UA and UA+WA in per cent, with {interval_note(results)}",
        f"Data: `{data['source']}`, "
        + (f"its {data['split']} split" if data["kind"] == "corpus" else "a raw folder")
        + f", only RAVDESS, neutral removed; text: {TEXT_NAMES[data['text']]}.",
        "The cross-validated results are the headline: every actor is predicted by a model "
        "without that actor in its training data. The actors of the test split were looked at "
        "while settings were chosen. In the paper's protocol the same speakers are in training and "
        "test, so its figures say little about new speakers.",
        "The paper does not say which RAVDESS clips its Table 9 scores; RAVDESS is part of its "
        "training corpus, which it splits at random.",
        *limit_notes(results),
        *(
            f"Removed before scoring: {count} clips ({reason})."
            for reason, count in data["removed"].items()
        ),
        *(f"Rejected: {line}" for line in data["rejected"]),
        *(_fold_note(result) for result in results["rows"] if result["kind"] == "folds"),
        *closing_notes(results),
    ]


def _fold_note(result: Result) -> str:
    kind = "the published folds" if result["published"] else "its own folds"
    return (
        f"{system_of(result)}, cross-validated on {kind}: {fold_list(result)}. The table shows "
        "the scores over the clips of all folds."
        + (f" Trained by `{result['command']}`." if result.get("command") else "")
    )

"""Any labelled corpus: scores of every model on the labels that it shares with the corpus."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from corpus_builder import CorpusError
from corpus_builder.labels import read_label_map
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import CachedPredictor
from speech_emotion.evaluation.labelled_data import NO_SPEAKER, LabelledData, read_labelled
from speech_emotion.evaluation.labels import labels_meant
from speech_emotion.evaluation.models import Model, open_model
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import answered_of, brief_scores, ids_of, prior
from speech_emotion.evaluation.tables import (
    FEW_SPEAKERS,
    MOST_ERRORS,
    SEEN,
    TEXT_NAMES,
    Result,
    ResultsFile,
    confusion_tables,
    estimate,
    limit_notes,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    speaker_tables,
    with_notes,
)
from speech_emotion.training.parsing import option


@dataclass(frozen=True, kw_only=True)
class CorpusSettings(Settings):
    """Settings of a user's corpus; ``protocol`` may be a configuration of any data set."""

    data: str = option(
        "",
        "table with the columns path, emotion and, if known, speaker and transcript; built "
        "corpus; or a folder or Hub id of any data set with audio and labels",
    )
    map: tuple[str, ...] = option(
        (),
        "WORD=LABEL: a word of the data or of a model means this label; without a label, clips "
        "with the word are left out",
    )
    protocols: ClassVar[tuple[str, ...]] = ()


def run(settings: CorpusSettings) -> Outcome:
    """Score every model on the clips whose labels it has, beside the prior.

    Clips without a prediction are listed, and are not scored.

    Raises:
        EvaluationError: a model, the data or a label map cannot be used.
    """
    try:
        words = read_label_map(settings.map)
    except CorpusError as error:
        raise EvaluationError(str(error)) from error
    data = read_labelled(
        settings.data,
        words=words,
        protocol=settings.protocol,
        split=settings.split,
        corpus=settings.corpus,
    )
    meanings = partial(labels_meant, labels=data.labels, words=words)
    models = [open_model(name, meanings=meanings) for name in dict.fromkeys(settings.models)]
    shared = [_shared_labels(model, data, settings.data) for model in models]
    data = replace(data, clips=data.clips.limited(settings.limit, seed=settings.seed))
    if any(model.record.hashes for model in models):
        data = data.hashed()
    outcome = Outcome(data=_facts(data, settings))
    for model, labels in zip(models, shared, strict=True):
        _score(model, data, labels, settings, outcome)
    return outcome


def _shared_labels(model: Model, data: LabelledData, name: str) -> tuple[str, ...]:
    """The labels of the corpus that a model can predict."""
    meant = {label for _, label in model.labels}
    shared = tuple(label for label in data.labels if label in meant)
    if len(shared) < 2:
        raise EvaluationError(
            f"--model {model.name}: it has fewer than two labels of --data {name}: the model has "
            f"{', '.join(own for own, _ in model.labels)}, the data {', '.join(data.labels)}; "
            "--map WORD=LABEL says which are the same"
        )
    return shared


def _score(
    model: Model,
    data: LabelledData,
    labels: tuple[str, ...],
    settings: CorpusSettings,
    outcome: Outcome,
) -> None:
    clips = data.of_labels(labels)
    if len(set(clips.labels.tolist())) < 2:
        raise EvaluationError(
            f"--data {settings.data}: the clips that --model {model.name} can be scored on have "
            "fewer than two labels"
        )
    predictor = CachedPredictor(model, clips, settings, classes=labels)
    with outcome.timed(predictor.name):
        table = predictor.predict()
    answered, errors = answered_of(table), {}
    for index, name, error in table.loc[
        table["predicted"].isna(), ["utterance_id", "error"]
    ].itertuples():
        path = clips.clips[index]["audio"]["path"]
        table.loc[index, "error"] = errors[name] = error.replace(path, name) if path else error
    if answered.empty:
        reason = next(iter(errors.values()))
        raise EvaluationError(
            f"--model {model.name}: no clip has a prediction; the first: {reason}"
        )
    result = predictor.result(
        answered,
        protocol=None,
        emotions=list(labels),
        without_clips=[own for own, label in model.labels if label is None],
        left_out_labels={n: count for n, count in data.counts().items() if n not in labels},
        not_scored=errors,
        with_errors=brief_scores(*ids_of(table, classes=labels)[:2]),
    )
    outcome.add(result, table)
    outcome.results.append(
        {"kind": "prior", "system": predictor.name, **prior(answered["label"].tolist())}
    )


def _facts(data: LabelledData, settings: CorpusSettings) -> dict:
    """What the results file records about the data."""
    clips = data.clips
    return {
        "kind": data.kind,
        "source": portable(settings.data),
        "protocol": settings.protocol if data.kind == "corpus" else None,
        "split": data.split,
        "text": settings.text,
        "limit": settings.limit,
        "clips": len(clips.clips),
        "speakers": sorted(set(clips.speakers.tolist()) - {NO_SPEAKER}),
        "without_speaker": int((clips.speakers == NO_SPEAKER).sum()),
        "transcripts": sum(bool(text) for text in clips.clips["transcript"][:]),
        "clips_sha256": clips.fingerprint(),
        "labels": data.counts(),
        "removed": clips.removed,
        "rejected": list(clips.rejected),
    }


FIGURES = ("ua", "wa", "macro_f1")


def table(results: ResultsFile) -> str:
    """Scores of every model beside the prior; labels, confusion and speakers; and notes."""
    lines = []
    for result in results["rows"]:
        if result["kind"] == "prior":
            system = f"always {result['commonest']}"
            figures = [percent(result[name]) for name in FIGURES]
            lines.append((system, "", "", *figures, "", f"{result['log_loss']:.2f}", ""))
            continue
        scores = result["scores"]
        lines.append(
            (
                f"`{result['system']}`",
                str(scores["clips"]),
                str(scores["speakers"]) if results["data"]["speakers"] else "not known",
                *(estimate(scores[name], _interval(result, name)) for name in FIGURES),
                percent(scores["expected_calibration_error"]),
                f"{scores['log_loss']:.2f}",
                overlap_cell(result),
            )
        )
    header = ("System", "Clips", "Speakers", "UA", "WA", "Macro-F1", "ECE", "Log loss", SEEN)
    parts = [markdown_table(header, lines), *map(_label_table, scored(results))]
    parts.append(confusion_tables(results))
    if results["data"]["speakers"]:
        parts.append(speaker_tables(results))
    return with_notes(*parts, notes=_notes(results))


def _over_speakers(result: Result) -> bool:
    return result["scores"]["bootstrap"]["over_speakers"]["ua"] is not None


def _interval(result: Result, figure: str) -> Any:
    over = "over_speakers" if _over_speakers(result) else "over_clips"
    return result["scores"]["bootstrap"][over][figure]


def _label_table(result: Result) -> str:
    scores = result["scores"]
    matrix = scores["confusion"]["rows_true_columns_predicted"]

    def cell(value: float | None) -> str:
        return "" if value is None else percent(value)

    lines = [
        (
            label,
            str(sum(matrix[index])),
            cell(scores["recall"][label]),
            str(sum(line[index] for line in matrix)),
            cell(scores["precision"][label]),
        )
        for index, label in enumerate(scores["confusion"]["labels"])
    ]
    header = ("Label", "Clips", "Recall", "Predicted", "Precision")
    return f"`{result['system']}`, by label.\n\n{markdown_table(header, lines)}"


def _notes(results: ResultsFile) -> list[str]:
    data, bootstrap = results["data"], results["bootstrap"]
    shown = f"{100 * bootstrap['level']:.0f} % interval"
    split = f", its {data['split']} split" if data["split"] else ""
    text = TEXT_NAMES[data["text"]]
    if data["text"] == "corpus":
        have = data["transcripts"]
        text = f"{text}, which {have} clips have" if have else "none: no clip has a transcript"
    notes = [
        f"In per cent but for the log loss, with the {shown} in brackets "
        f"({bootstrap['resamples']} bootstrap samples, seed {bootstrap['seed']}). ECE, the "
        "expected calibration error, and the log loss are better the lower they are.",
        f"Data: {data['kind']} `{data['source']}`{split}, {_counted(data['labels'])}; "
        f"text: {text}.",
        *limit_notes(results),
    ]
    for result in scored(results):
        notes += _result_notes(result, data)
    if data["without_speaker"] and data["speakers"]:
        notes.append(
            f"{data['without_speaker']} clips have no speaker; intervals count them as one."
        )
    if data["removed"]:
        notes.append(f"Left out before scoring: {_counted(data['removed'])}.")
    notes += [f"Cannot be used: {line}" for line in data["rejected"][:MOST_ERRORS]]
    if len(data["rejected"]) > MOST_ERRORS:
        more = len(data["rejected"]) - MOST_ERRORS
        notes.append(f"And {more} more that cannot be used; the results file lists them.")
    return [*notes, f"Command: `{results['command']}`."]


def _result_notes(result: Result, data: dict[str, Any]) -> list[str]:
    system, scores, failed = f"`{result['system']}`", result["scores"], result["not_scored"]
    speakers = scores["speakers"]
    notes = []
    if not _over_speakers(result):
        why = "one speaker" if data["speakers"] else "no speakers named"
        notes.append(
            f"{system}: intervals are over clips ({why}): they are too narrow for other speakers."
        )
    else:
        few = ", of which there are few: a rough guide" if speakers < FEW_SPEAKERS else ""
        notes.append(f"{system}: intervals are over {speakers} speakers{few}.")
    if result["left_out_labels"]:
        counts = _counted(result["left_out_labels"])
        notes.append(f"{system} does not have these labels; their clips are left out: {counts}.")
    if result["without_clips"]:
        notes.append(
            f"{system} has labels without clips; the others are renormalised without them: "
            f"{', '.join(result['without_clips'])}."
        )
    if failed:
        with_errors = result["with_errors"]
        notes.append(
            f"{system}: clips without a prediction, which are not scored: {len(failed)}. With them "
            f"as errors: UA {percent(with_errors['ua'])}, WA {percent(with_errors['wa'])}."
        )
        for name, error in list(failed.items())[:MOST_ERRORS]:
            notes.append(f"No prediction: {name}: {error.removeprefix(f'{name}: ')}")
        if len(failed) > MOST_ERRORS:
            notes.append(f"And {len(failed) - MOST_ERRORS} more without a prediction.")
    return notes


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())

"""Markdown of `corpus` from a results file."""

from typing import Any

from speech_emotion.evaluation.ravdess_tables import confusion_tables, speaker_tables
from speech_emotion.evaluation.tables import (
    FEW_SPEAKERS,
    MOST_ERRORS,
    SEEN,
    TEXT_NAMES,
    Result,
    ResultsFile,
    estimate,
    limit_notes,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    with_notes,
)

FIGURES = ("ua", "wa", "macro_f1")


def corpus_table(results: ResultsFile) -> str:
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
    notes = [
        f"In per cent, with the {shown} in brackets ({bootstrap['resamples']} bootstrap samples, "
        f"seed {bootstrap['seed']}). ECE, the expected calibration error, and the log loss are "
        "better the lower they are.",
        f"Data: {data['kind']} `{data['source']}`{split}, {_counted(data['labels'])}; text: "
        f"{TEXT_NAMES[data['text']]}"
        + (f", which {data['transcripts']} clips have." if data["text"] == "corpus" else "."),
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
            f"{system}: {len(failed)} clips have no prediction and are not scored. With them as "
            f"errors: UA {percent(with_errors['ua'])}, WA {percent(with_errors['wa'])}."
        )
        notes += [
            f"No prediction: {name}: {error}" for name, error in list(failed.items())[:MOST_ERRORS]
        ]
        if len(failed) > MOST_ERRORS:
            notes.append(f"And {len(failed) - MOST_ERRORS} more without a prediction.")
    return notes


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())

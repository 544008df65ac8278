"""Markdown of `robustness`, `ablation` and `cross_corpus` from a results file."""

from speech_emotion.evaluation.detail_tables import bullets, common_notes, points
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    Result,
    Row,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    system_of,
    with_interval,
)

ANOTHER_MODEL = "another model"
"""Stands in the column of systems where a variant needs a training of its own."""


def robustness_table(result: Result) -> str:
    """One line per model and condition; the loss is against the clips as recorded."""
    clean = {
        row["system"]: row["scores"]["ua"]
        for row in scored(result)
        if row["condition"] == "as_recorded"
    }
    lines = []
    for row in result["rows"]:
        best, more = clean.get(row["system"]), ()
        if "scores" in row:
            loss = "" if best is None else points(row["scores"]["ua"] - best)
            more = (loss, str(row["scores"]["unanswered"]))
        lines.append(_line(row, row["name"], *more))
    header = ("System", "Condition", "WA", "UA", "UA against as recorded", "Clips without answer")
    notes = [
        "A clip is degraded first, and then cleaned by the model as in use. A clip that the model "
        "refuses counts as an error.",
        "Noise is white; speed moves the pitch along; the room is made, its echo falls by 60 dB "
        "in 0.6 s, as loud as the direct sound.",
        *(_heard(row) for row in _first(result)),
        *common_notes(result),
    ]
    return f"{markdown_table(header, lines)}\n\n{bullets(notes)}"


def ablation_table(result: Result) -> str:
    """One line per model and variant."""
    lines = []
    for row in result["rows"]:
        scores = row.get("scores")
        more = (str(scores["clips"]), str(scores["unanswered"])) if scores else ()
        lines.append(_line(row, row["variant"], *more))
    header = ("System", "Variant", "WA", "UA", "Clips", "Without answer")
    notes = [
        "The sentences of RAVDESS, TESS and CREMA-D are the same for every emotion: on them text "
        "cannot help, and the text alone can do no better than chance.",
        *(_heard(row) for row in _first(result)),
        *common_notes(result),
    ]
    return f"{markdown_table(header, lines)}\n\n{bullets(notes)}"


def cross_corpus_table(result: Result) -> str:
    """One block of lines per corpus, its prior first."""
    lines = []
    for row in result["rows"]:
        if row["kind"] == "prior":
            name = f"always {row['commonest']} (UA: chance, 1/{row['emotions']})"
            figures = (percent(row["wa"]), percent(row["ua"]))
            counts = (str(row["clips"]), str(row["speakers"]))
            lines.append((row["corpus"], name, *figures, *counts, ""))
        elif row["kind"] == "not_run":
            lines.append((row["corpus"], system_of(row), NOT_RUN, NOT_RUN, "", "", row["reason"]))
        else:
            name = system_of(row)
            if row["kind"] == "folds":
                name += f", {len(row['folds'])} speaker-disjoint folds"
            elif row["kind"] == "baseline":
                name += ", learnt from the other corpora"
            scores = row["scores"]
            figures = (with_interval(row, "wa"), with_interval(row, "ua"))
            counts = (str(scores["clips"]), str(scores["speakers"]))
            lines.append((row["corpus"], name, *figures, *counts, overlap_cell(row)))
    header = ("Corpus", "System", "WA", "UA", "Clips", "Speakers", "Of these heard in training")
    notes = [
        "All recordings of a corpus are scored, less those of speakers that the model has heard.",
        "TESS has two actresses: its figures speak of two voices.",
        *(
            f"`{row['system']}`, {row['corpus']}, by fold: {fold_list(row)}."
            for row in result["rows"]
            if row["kind"] == "folds"
        ),
        *common_notes(result),
    ]
    return f"{markdown_table(header, lines)}\n\n{bullets(notes)}"


def fold_list(row: Row) -> str:
    """WA and UA of every fold of a cross-validation, and their mean, in one line."""
    folds = "; ".join(
        f"fold {name} ({len(fold['speakers'])} speakers) WA {percent(fold['wa'])}, "
        f"UA {percent(fold['ua'])}"
        for name, fold in row["folds"].items()
    )
    return f"{folds}; mean WA {percent(row['mean']['wa'])}, UA {percent(row['mean']['ua'])}"


def _line(row: Row, name: str, *more: str) -> tuple[str, ...]:
    system = row["system"] if row["system"] == ANOTHER_MODEL else system_of(row)
    if row["kind"] == "not_run":
        return (system, name, NOT_RUN, row["reason"], "", "")
    return (system, name, with_interval(row, "wa"), with_interval(row, "ua"), *more)


def _first(result: Result) -> list[Row]:
    return list({row["system"]: row for row in scored(result)}.values())


def _heard(row: Row) -> str:
    return f"`{row['system']}`: test speakers heard in training: {overlap_cell(row)}."

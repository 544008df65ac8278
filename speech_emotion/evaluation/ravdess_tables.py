"""Markdown of `ravdess` from a results file."""

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
    overlap_cell,
    percent,
    system_of,
    wa_and_ua,
    with_interval,
    with_notes,
)

PAPER_TABLE_9 = {"wa": 0.7845, "ua": 0.7931}


def ravdess_table(results: ResultsFile) -> str:
    """The RAVDESS benchmark (paper, Table 9) with its baselines and notes."""
    header = ("System", "Protocol", "WA", "UA", "UA+WA", "Clips", "Speakers", SEEN)
    table = markdown_table(header, map(_cells, results["rows"]))
    return with_notes(table, notes=_notes(results))


def ravdess_summary(results: ResultsFile) -> str:
    """One sentence per scored model."""
    return "\n".join(
        f"- {_title(result)}: WA {with_interval(result, 'wa')}, UA {with_interval(result, 'ua')}, "
        f"UA+WA {with_interval(result, 'ua_plus_wa')} on {result['scores']['clips']} clips of "
        f"{result['scores']['speakers']} speakers; test speakers in the training data: "
        f"{overlap_cell(result)}."
        for result in _models(results)
    )


def confusion_tables(results: ResultsFile) -> str:
    """One confusion matrix per scored model (paper, Figure 8)."""
    return "\n\n".join(
        f"{_title(result)}: clips by true emotion (row) and prediction (column).\n\n"
        f"{_confusion(result)}"
        for result in _models(results)
    )


def speaker_tables(results: ResultsFile) -> str:
    """Scores of every test speaker, one table per scored model."""
    return "\n\n".join(
        f"{_title(result)}, by speaker.\n\n"
        + markdown_table(
            ("Speaker", "Clips", "WA", "UA"),
            (
                (name, str(figures["clips"]), percent(figures["wa"]), percent(figures["ua"]))
                for name, figures in result["scores"]["per_speaker"].items()
            ),
        )
        for result in _models(results)
    )


def _models(results: ResultsFile) -> list[Result]:
    return [result for result in results["rows"] if result["kind"] == "model"]


def _title(result: Result) -> str:
    return ", ".join(filter(None, (system_of(result), PROTOCOL_NAMES[result["protocol"]])))


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


def _confusion(result: Result) -> str:
    scores = result["scores"]
    labels = scores["confusion"]["labels"]
    matrix = scores["confusion"]["rows_true_columns_predicted"]
    lines = [
        (f"**{label}**", *map(str, clips), "" if recall is None else percent(recall))
        for label, clips, recall in zip(labels, matrix, scores["recall"].values(), strict=True)
    ]
    table = markdown_table(("true", *labels, "recall"), lines)
    if scores["unanswered"]:
        table += f"\n\n{scores['unanswered']} clips without a prediction are in no column."
    return table


def _notes(results: ResultsFile) -> list[str]:
    data = results["data"]
    return [
        f"WA, UA and UA+WA in per cent, with {interval_note(results)}",
        f"Data: `{data['source']}`, "
        + (f"its {data['split']} split" if data["kind"] == "corpus" else "a raw folder")
        + f", only RAVDESS, neutral removed; text: {TEXT_NAMES[data['text']]}.",
        "The speaker-disjoint results are the headline. In the paper's protocol the same speakers "
        "are in training and test, so its figures say little about new speakers.",
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

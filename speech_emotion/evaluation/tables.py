"""Markdown from a results file: nothing here measures, and nothing is typed in by hand."""

from collections.abc import Iterable, Sequence
from typing import Any

from hub_model.labels import EMOTIONS

PROTOCOL_NAMES = {
    "speaker_disjoint": "speaker-disjoint",
    "paper": "paper's, speaker-dependent",
    "folds": "speaker-disjoint folds",
    None: "",
}
PAPER_TABLE_9 = {"wa": 0.7845, "ua": 0.7931}
FEW_SPEAKERS = 10
"""Below this number of speakers a table says that its intervals are rough."""

NOT_RUN = "not run here"
"""Stands where figures would be."""

BASELINE = "logistic regression, mean MFCCs"
"""The yardstick beside every model."""

MOST_ERRORS = 5
"""A table lists no more clips without an answer than so many a row."""

Result = dict[str, Any]
Row = dict[str, Any]


def ravdess_table(result: Result) -> str:
    """The RAVDESS benchmark (paper, Table 9) with its yardsticks and its notes."""
    header = (
        "System",
        "Protocol",
        "WA",
        "UA",
        "UA+WA",
        "Clips",
        "Speakers",
        "Of these heard in training",
    )
    return "\n\n".join(
        (
            markdown_table(header, map(_ravdess_cells, result["rows"])),
            "\n".join(f"- {note}" for note in _notes(result)),
        )
    )


def ravdess_summary(result: Result) -> str:
    """One sentence per scored model."""
    rows = [row for row in result["rows"] if row["kind"] == "model"]
    return "\n".join(
        f"- {system_of(row)}, {PROTOCOL_NAMES[row['protocol']]}: "
        f"WA {with_interval(row, 'wa')}, UA {with_interval(row, 'ua')}, "
        f"UA+WA {with_interval(row, 'ua_plus_wa')} on {row['scores']['clips']} clips of "
        f"{row['scores']['speakers']} speakers; heard in training: {overlap_cell(row)}."
        for row in rows
    )


def confusion_tables(result: Result) -> str:
    """One confusion matrix per scored model (paper, Figure 8)."""
    return "\n\n".join(
        f"{system_of(row)}, {PROTOCOL_NAMES[row['protocol']]}: clips by true emotion (row) and "
        f"answer (column).\n\n{_confusion(row)}"
        for row in result["rows"]
        if row["kind"] == "model"
    )


def speaker_tables(result: Result) -> str:
    """Figures of every test speaker, one table per scored model."""
    return "\n\n".join(
        f"{system_of(row)}, {PROTOCOL_NAMES[row['protocol']]}, by speaker.\n\n"
        + markdown_table(
            ("Speaker", "Clips", "WA", "UA"),
            (
                (name, str(figures["clips"]), percent(figures["wa"]), percent(figures["ua"]))
                for name, figures in row["scores"]["per_speaker"].items()
            ),
        )
        for row in result["rows"]
        if row["kind"] == "model"
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes in cells are escaped.

    >>> print(markdown_table(("a", "b"), [("1", "x|y")]))
    | a | b |
    | --- | --- |
    | 1 | x\\|y |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def percent(fraction: float, *, digits: int = 1) -> str:
    """A fraction as per cent, as the paper prints it.

    >>> percent(0.5714)
    '57.1'
    """
    return f"{100 * fraction:.{digits}f}"


def _ravdess_cells(row: Row) -> tuple[str, ...]:
    protocol = PROTOCOL_NAMES[row["protocol"]]
    match row["kind"]:
        case "not_run":
            return (row["system"], protocol, *[NOT_RUN] * 3, "", "", row["reason"])
        case "chance":
            chance = 1 / row["classes"]
            figures = [percent(value) for value in (chance, chance, 2 * chance)]
            return (f"chance (1/{row['classes']})", protocol, *figures, "", "", "")
        case "paper":
            wa, ua = PAPER_TABLE_9["wa"], PAPER_TABLE_9["ua"]
            figures = [percent(value, digits=2) for value in (wa, ua, wa + ua)]
            return ("paper, Table 9, as printed", protocol, *figures, "", "", "not stated")
    scores = row["scores"]
    name = system_of(row)
    if row["kind"] == "folds":
        kind = "published folds" if row["published"] else "folds"
        protocol = f"speaker-disjoint, {len(row['folds'])} {kind}"
    return (
        name,
        protocol,
        *(with_interval(row, figure) for figure in ("wa", "ua", "ua_plus_wa")),
        str(scores["clips"]),
        str(scores["speakers"]),
        overlap_cell(row),
    )


def system_of(row: Row) -> str:
    """Who answered; a folder or an id as code, a yardstick in words."""
    name = row["system"] if row["system"] == BASELINE else f"`{row['system']}`"
    return f"{name}, eight classes" if row.get("classes") == 8 else name


def with_interval(row: Row, figure: str) -> str:
    """A figure of a scored row in per cent, with its interval over speakers."""
    interval = row["scores"]["bootstrap"]["over_speakers"][figure]
    ends = "no interval" if interval is None else " to ".join(map(percent, interval))
    return f"{percent(row['scores'][figure])} ({ends})"


def overlap_cell(row: Row) -> str:
    """What the leak guard found, for the row of a table.

    >>> found = {"speakers": ["a"], "clips": 9}
    >>> scores = {"speakers": 4}
    >>> overlap_cell({"protocol": "speaker_disjoint", "overlap": found, "scores": scores})
    '**LEAK: heard 1 of 4 test speakers in training, 9 clips** (a)'
    """
    overlap, left_out = row["overlap"], row.get("left_out") or {"clips": 0}
    if overlap is None:
        text = "unknown: the model does not say"
    elif not overlap["speakers"]:
        text = "none"
    else:
        text = (
            f"heard {len(overlap['speakers'])} of {row['scores']['speakers']} test speakers "
            f"in training, {overlap['clips']} clips"
        )
        if row["protocol"] != "paper":
            text = f"**LEAK: {text}** ({', '.join(overlap['speakers'])})"
    if overlap and overlap.get("same_clips"):
        text += f"; **{overlap['same_clips']} of the very clips were learnt from**"
    if overlap and overlap.get("maybe"):
        text += f"; perhaps: it learnt from {', '.join(overlap['maybe'])}, not saying from whom"
    if left_out["clips"]:
        text += (
            "; left out because it was trained on them: "
            f"{_count(left_out['speakers'], 'speaker')}, {left_out['clips']} clips"
        )
    return text


def _count(things: Sequence[str], name: str) -> str:
    return f"{len(things)} {name}" if len(things) == 1 else f"{len(things)} {name}s"


def _confusion(row: Row) -> str:
    scores = row["scores"]
    labels = scores["confusion"]["labels"]
    matrix = scores["confusion"]["rows_true_columns_predicted"]
    lines = [
        (f"**{label}**", *map(str, counts), "" if recall is None else percent(recall))
        for label, counts, recall in zip(labels, matrix, scores["recall"].values(), strict=True)
    ]
    table = markdown_table(("true", *labels, "recall"), lines)
    if scores["unanswered"]:
        table += f"\n\n{scores['unanswered']} clips without an answer stand in no column."
    return table


def _notes(result: Result) -> list[str]:
    data = result["data"]
    notes = [
        f"WA, UA and UA+WA in per cent, with {interval_note(result)}",
        f"Data: `{data['source']}`, "
        + (f"its {data['split']} split" if data["kind"] == "corpus" else "a raw folder")
        + f", RAVDESS alone, neutral removed; text: {TEXT_NAMES[data['text']]}.",
        "The speaker-disjoint rows are the headline. In the paper's protocol the same speakers "
        "are in training and test, so its figures say little about a new voice.",
        "The paper does not say which RAVDESS clips its Table 9 scores; RAVDESS is part of its "
        "training corpus, which it splits at random.",
    ]
    if data["limit"] is not None:
        notes.append(f"**Only {data['limit']} clips a set were scored (`--limit`).**")
    for reason, count in data["removed"].items():
        notes.append(f"Removed before scoring: {count} clips ({reason}).")
    notes += [f"Rejected: {line}" for line in data["rejected"]]
    notes += few_speakers(result, "rows")
    for row in result["rows"]:
        if row["kind"] == "model" and not set(row.get("emotions", EMOTIONS)) >= set(EMOTIONS):
            notes.append(
                f"`{row['system']}` answers {', '.join(row['emotions'])}, and is scored on clips "
                "of these."
            )
        if row["kind"] == "folds":
            notes.append(_fold_note(row))
    notes += answer_notes(result)
    notes.append(f"Made by `{result['command']}`.")
    return notes


def interval_note(result: Result) -> str:
    """How the intervals of a results file were made, as the end of a sentence."""
    bootstrap = result["bootstrap"]
    return (
        f"the {100 * bootstrap['level']:.0f} % interval over speakers "
        f"({bootstrap['resamples']} bootstrap samples, seed {bootstrap['seed']})."
    )


def few_speakers(result: Result, what: str) -> list[str]:
    """A warning when some of ``what`` rest on so few speakers that an interval says little."""
    fewest = min((row["scores"]["speakers"] for row in scored(result)), default=FEW_SPEAKERS)
    if fewest >= FEW_SPEAKERS:
        return []
    return [
        f"Some {what} rest on {fewest} speakers: an interval over so few is a rough guide and "
        "tends to be too narrow."
    ]


def scored(result: Result) -> list[Row]:
    """The rows with scores."""
    return [row for row in result["rows"] if "scores" in row]


def answer_notes(result: Result) -> list[str]:
    """Every clip that was not answered, or could not be learnt from, with the reason."""
    notes = []
    for row in result["rows"]:
        where = ", ".join(
            filter(
                None,
                (
                    row.get("system"),
                    PROTOCOL_NAMES.get(row.get("protocol"), ""),
                    row.get("name") or row.get("variant") or row.get("corpus"),
                ),
            )
        )
        errors = row.get("scores", {}).get("errors", {})
        for utterance_id, error in list(errors.items())[:MOST_ERRORS]:
            notes.append(f"No answer, counted as an error: {utterance_id}, {where}: {error}")
        if len(errors) > MOST_ERRORS:
            notes.append(f"And {len(errors) - MOST_ERRORS} more without an answer: {where}.")
        for utterance_id, error in row.get("skipped_in_training", {}).items():
            notes.append(f"Left out of training: {utterance_id}, {where}: {error}")
    return notes


def _fold_note(row: Row) -> str:
    told = "; ".join(
        f"fold {name} WA {percent(fold['wa'])}, UA {percent(fold['ua'])}"
        for name, fold in row["folds"].items()
    )
    mean = row["mean"]
    kind = "the field's published folds" if row["published"] else "folds of its own"
    return (
        f"{system_of(row)}, cross-validated on {kind}: {told}; mean WA {percent(mean['wa'])}, "
        f"UA {percent(mean['ua'])}. The row is over all of their clips together."
        + (f" Trained by `{row['command']}`." if row.get("command") else "")
    )


TEXT_NAMES = {
    "corpus": "the corpus's own transcript",
    "none": "none, audio alone",
    "asr": "the model's own transcriber",
}

"""Markdown of Tables 6 and 8 from a results file: nothing here measures."""

from collections.abc import Iterable

from speech_emotion.evaluation.clips import PROTOCOLS
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    PROTOCOL_NAMES,
    Result,
    Row,
    few_speakers,
    interval_note,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    with_interval,
)

FIGURES = ("wa", "ua", "ua_plus_wa")
NAMES = ("WA", "UA", "UA+WA")


def paper_table(result: Result) -> str:
    """One line per row of the table: both protocols and the printed figures side by side."""
    header = [
        "Classifier",
        *(f"{PROTOCOL_NAMES[protocol]}: {name}" for protocol in PROTOCOLS for name in NAMES),
        *(f"as printed: {name}" for name in NAMES),
        "Measured on",
    ]
    systems = dict.fromkeys(row["system"] for row in result["rows"] if "system" in row)
    lines = [
        _line([row for row in result["rows"] if row.get("system") == name]) for name in systems
    ]
    chance = [percent(share) for share in (1 / 7, 1 / 7, 2 / 7)]
    lines.append(["chance (1/7)", *chance, *chance, "", "", "", ""])
    notes = "\n".join(f"- {note}" for note in _notes(result))
    return "\n\n".join((markdown_table(header, lines), notes))


def _line(rows: list[Row]) -> list[str]:
    by_protocol = {row["protocol"]: row for row in rows}
    cells = []
    for protocol in PROTOCOLS:
        row = by_protocol.get(protocol)
        known = row is not None and "scores" in row
        cells += [with_interval(row, name) if known else NOT_RUN for name in FIGURES]
    printed = rows[0]["paper"]
    if printed is None:
        cells += ["", "", ""]
    else:
        sums = (printed["wa"], printed["ua"], printed["wa"] + printed["ua"])
        cells += [f"{figure:.2f}" for figure in sums]
    name = f"`{rows[0]['system']}`" if rows[0]["kind"] == "model" else rows[0]["system"]
    return [name, *cells, _corpora(by_protocol.values())]


def _corpora(rows: Iterable[Row]) -> str:
    """The corpora of the scored clips with their numbers, once if both protocols agree."""
    texts = {}
    for row in rows:
        if "corpora" in row:
            counts = (f"{name} {clips}" for name, clips in row["corpora"].items())
            texts[PROTOCOL_NAMES[row["protocol"]]] = ", ".join(counts)
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _notes(result: Result) -> list[str]:
    data = result["data"]
    notes = [
        f"WA, UA and UA+WA in per cent, with {interval_note(result)}",
        f'Data: `{data["source"]}`, its {data["split"]} split. "Measured on" names its corpora '
        "with their numbers of clips. The printed figures are the paper's own, on its test split "
        "of CREMA-D, IEMOCAP, RAVDESS, SAVEE and TESS.",
        "The speaker-disjoint figures are the headline. In the paper's protocol the same speakers "
        "are in training and test, so its figures say little about a new voice.",
    ]
    if data["limit"] is not None:
        notes.append(f"**Only {data['limit']} clips a protocol were scored (`--limit`).**")
    notes += few_speakers(result, "figures")
    for row in result["rows"]:
        where = f"{row.get('system')}, {PROTOCOL_NAMES[row['protocol']]}"
        if row["kind"] == "not_run":
            notes.append(f"Not run here: {where}: {row['reason']}")
        if run := row.get("measured_by"):
            notes.append(f"{where}: measured at commit {run['commit'][:12]} by `{run['command']}`.")
        if start := row.get("initialisation"):
            found = f"`{start['from']}`" if "from" in start else "random weights"
            missing = f" (`{start['not_found']}` was not found)" if "not_found" in start else ""
            notes.append(f"{where}: trained from {found}{missing}.")
    for row in scored(result):
        where = f"{row['system']}, {PROTOCOL_NAMES[row['protocol']]}"
        found = overlap_cell(row)
        if found != "none" and not (row["protocol"] == "paper" and row["overlap"]):
            notes.append(f"{where}: heard in training: {found}.")
        for utterance_id, error in row["scores"]["errors"].items():
            notes.append(f"No answer, counted as an error: {utterance_id}, {where}: {error}")
    return [*notes, f"Made by `{result['command']}`."]

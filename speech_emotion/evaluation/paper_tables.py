"""Markdown of `table6` and `table8` from a results file."""

from collections.abc import Iterable

from speech_emotion.evaluation.clips import PROTOCOLS
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    PROTOCOL_NAMES,
    Result,
    ResultsFile,
    closing_notes,
    interval_note,
    limit_notes,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    with_interval,
    with_notes,
)

FIGURES = ("wa", "ua", "ua_plus_wa")
NAMES = ("WA", "UA", "UA+WA")


def paper_table(results: ResultsFile) -> str:
    """One line per row of the printed table: both protocols beside the printed figures."""
    header = [
        "Classifier",
        *(f"{PROTOCOL_NAMES[protocol]}: {name}" for protocol in PROTOCOLS for name in NAMES),
        *(f"as printed: {name}" for name in NAMES),
        "Measured on",
    ]
    systems = dict.fromkeys(result["system"] for result in results["rows"] if "system" in result)
    lines = [
        _line([result for result in results["rows"] if result.get("system") == name])
        for name in systems
    ]
    chance = [percent(share) for share in (1 / 7, 1 / 7, 2 / 7)]
    lines.append(["chance (1/7)", *chance, *chance, "", "", "", ""])
    return with_notes(markdown_table(header, lines), notes=_notes(results))


def _line(by_protocol: list[Result]) -> list[str]:
    first, found = by_protocol[0], {result["protocol"]: result for result in by_protocol}
    cells = []
    for protocol in PROTOCOLS:
        result = found.get(protocol)
        if result is not None and "scores" in result:
            cells += [with_interval(result, name) for name in FIGURES]
        else:
            cells += [NOT_RUN] * len(FIGURES)
    if printed := first["paper"]:
        sums = (printed["wa"], printed["ua"], printed["wa"] + printed["ua"])
        cells += [f"{figure:.2f}" for figure in sums]
    else:
        cells += ["", "", ""]
    name = f"`{first['system']}`" if first["kind"] == "model" else first["system"]
    return [name, *cells, _corpora(found.values())]


def _corpora(by_protocol: Iterable[Result]) -> str:
    """The corpora of the scored clips with their numbers, once if both protocols agree."""
    texts = {}
    for result in by_protocol:
        if "corpora" in result:
            clips = (f"{name} {number}" for name, number in result["corpora"].items())
            texts[PROTOCOL_NAMES[result["protocol"]]] = ", ".join(clips)
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _notes(results: ResultsFile) -> list[str]:
    data = results["data"]
    notes = [
        f"WA, UA and UA+WA in per cent, with {interval_note(results)}",
        f'Data: `{data["source"]}`, its {data["split"]} split. "Measured on" names its corpora '
        "with their numbers of clips. The printed figures are the paper's, on its test split "
        "of CREMA-D, IEMOCAP, RAVDESS, SAVEE and TESS.",
        "The speaker-disjoint figures are the headline. In the paper's protocol the same speakers "
        "are in training and test, so its figures say little about new speakers.",
        *filter(None, [grid_sentence(results)]),
        *limit_notes(results),
        *dict.fromkeys(
            f"{result['system']}: {result['instead']}; `configs/{result['config']}.yaml` says what "
            "else differs. Its figures show that the path trains, and say nothing about the "
            "paper's model."
            for result in results["rows"]
            if result.get("instead")
        ),
    ]
    for result in results["rows"]:
        where = _where(result)
        if result["kind"] == "not_run":
            notes.append(f"Not run here: {where}: {result['reason']}")
        if run := result.get("measured_by"):
            notes.append(f"{where}: measured at commit {run['commit'][:12]} by `{run['command']}`.")
        if epochs := result.get("epochs"):
            text = {"known": "the corpus's transcripts", "whisper": "transcripts by Whisper"}
            kind = result["transcripts"]
            read = f", with {text.get(kind, kind)}" if kind else ""
            notes.append(f"{where}: trained for {epochs} epochs{read}.")
        if start := result.get("initialisation"):
            found = f"`{start['from']}`" if "from" in start else "random weights"
            missing = f" (`{start['not_found']}` was not found)" if "not_found" in start else ""
            notes.append(f"{where}: trained from {found}{missing}.")
    for result in scored(results):
        found = overlap_cell(result)
        if found != "none" and not (result["protocol"] == "paper" and result["overlap"]):
            notes.append(f"{_where(result)}: test speakers in the training data: {found}.")
    return [*notes, *closing_notes(results)]


def _where(result: Result) -> str:
    return f"{result.get('system')}, {PROTOCOL_NAMES[result['protocol']]}"


def grid_sentence(results: ResultsFile) -> str:
    """What the grid search on KNN changed, from a results file of Table 6 (paper, section III-B).

    Returns:
        one sentence; empty when the figures are not there.
    """
    found = {(one["config"], one["protocol"]): one["scores"] for one in scored(results)}
    changes = []
    for protocol in PROTOCOLS:
        plain, grid = (found.get((name, protocol)) for name in ("knn", "knn_grid"))
        if plain and grid:
            before, after = (100 * scores["ua_plus_wa"] for scores in (plain, grid))
            changes.append(f"from {before:.1f} to {after:.1f} ({PROTOCOL_NAMES[protocol]})")
    if not changes:
        return ""
    return (
        "In the paper the grid search did not improve KNN further; here UA + WA goes "
        f"{' and '.join(changes)}."
    )

"""Markdown of `compare`, `calibration` and `fairness` from a results file."""

from collections.abc import Sequence

from speech_emotion.evaluation.tables import (
    PROTOCOL_NAMES,
    TEXT_NAMES,
    Result,
    Row,
    answer_notes,
    few_speakers,
    interval_note,
    markdown_table,
    overlap_cell,
    percent,
    scored,
    with_interval,
)

STATES = {
    "without": "without its temperature",
    "as_shipped": "as shipped",
    "other_speakers": "temperature fitted on the other speakers",
}


def compare_table(result: Result) -> str:
    """Two models on the same clips, and the tests of their difference."""
    rows = scored(result)
    lines = [
        (
            f"`{row['system']}`",
            *(with_interval(row, name) for name in ("wa", "ua")),
            str(row["scores"]["clips"]),
            str(row["scores"]["speakers"]),
            overlap_cell(row),
        )
        for row in rows
    ]
    table = markdown_table(
        ("System", "WA", "UA", "Clips", "Speakers", "Of these heard in training"), lines
    )
    (found,) = (row for row in result["rows"] if row["kind"] == "difference")
    differences = markdown_table(
        (f"`{found['second']}` less `{found['first']}`", "Difference", "95 % interval", "p"),
        [
            (
                name.upper(),
                points(found[name]["difference"]),
                interval_of(found[name]["interval"]),
                p_value(found[name]["p_value"]),
            )
            for name in ("wa", "ua")
        ],
    )
    test = found["mcnemar"]
    notes = [
        "Differences in points, by a paired bootstrap over speakers: the same draws for both.",
        f"McNemar, exact, over clips: only `{found['first']}` right in {test['only_first']}, only "
        f"`{found['second']}` in {test['only_second']}, p {p_value(test['p_value'])}. It takes "
        "clips of one speaker as independent, which they are not: the bootstrap decides.",
        *common_notes(result),
    ]
    return "\n\n".join((table, differences, bullets(notes)))


def calibration_table(result: Result) -> str:
    """Calibration error in each state, and accuracy at coverage."""
    lines = []
    for row in scored(result):
        for name, state in row["calibration"].items():
            used = state["temperature"]
            used = f"{used[0]:.2f} to {used[1]:.2f}" if isinstance(used, list) else f"{used:.2f}"
            lines.append(
                (
                    f"`{row['system']}`",
                    STATES[name],
                    used,
                    f"{percent(state['expected_calibration_error'])} "
                    f"({interval_of(state['interval'])})",
                    *map(percent, state["accuracy_at_coverage"].values()),
                    overlap_cell(row),
                )
            )
    header = (
        "System",
        "Confidence",
        "Temperature",
        "ECE",
        "WA at 100 %",
        "at 80 %",
        "at 50 %",
        "Of the speakers heard in training",
    )
    notes = [
        "ECE: expected calibration error over 15 bins in per cent, lower is better, with the 95 % "
        "interval over speakers. WA at a coverage: over the most confident clips, when the model "
        "may decline the others.",
        "A temperature fitted on the other speakers is fitted for each speaker without that "
        "speaker's clips.",
        *common_notes(result),
    ]
    return f"{markdown_table(header, lines)}\n\n{bullets(notes)}"


FITTED_TO = {
    "nothing": "nothing: the model as it is",
    "3": "3 clips",
    "10": "10 clips",
    "half": "half of the speaker's clips",
    "mostly_one_emotion": "clips of which 70 % are of one emotion",
}


def adaptation_table(result: Result) -> str:
    """UA by the unlabelled clips of a speaker that the model is fitted to."""
    lines = [
        (
            f"`{row['system']}`",
            FITTED_TO[name],
            f"{percent(found['ua'])} ({interval_of(found['interval'])})",
            overlap_cell(row),
        )
        for row in scored(result)
        for name, found in row["adaptation"].items()
    ]
    header = ("System", "Fitted to", "UA", "Of the speakers heard in training")
    notes = [
        "`speech-emotion adapt` takes off what a speaker, room or microphone adds to every "
        "answer. It gets no labels. Here it is done for each speaker, and every clip is answered "
        "from the audio alone by a model that was fitted to clips of the other half of its "
        "speaker's; the mean over seven ways to halve them. Where one emotion is frequent it is "
        "another one each time.",
        *common_notes(result),
    ]
    return f"{markdown_table(header, lines)}\n\n{bullets(notes)}"


def fairness_table(result: Result) -> str:
    """Groups with intervals, and the gap between the farthest two of each aspect."""
    groups, gaps, notes = [], [], []
    for row in scored(result):
        for aspect, found in row["groups"].items():
            for name, group in found["groups"].items():
                groups.append(
                    (
                        f"`{row['system']}`",
                        aspect,
                        name,
                        *(
                            f"{percent(group[figure])} ({interval_of(group[f'{figure}_interval'])})"
                            for figure in ("wa", "ua")
                        ),
                        str(group["clips"]),
                        str(group["speakers"]),
                    )
                )
            if not found["groups"]:
                notes.append(f"The data says nothing of {aspect}.")
            elif found["unknown"]:
                notes.append(f"`{row['system']}`: {found['unknown']} clips without {aspect}.")
            for figure, gap in (found["gap"] or {}).items():
                gaps.append(
                    (
                        f"`{row['system']}`",
                        aspect,
                        figure.upper(),
                        f"{gap['best']} less {gap['worst']}",
                        points(gap["gap"]),
                        interval_of(gap["interval"]),
                    )
                )
    notes = list(dict.fromkeys(notes))
    notes += [
        f"`{row['system']}`: heard in training: {overlap_cell(row)}." for row in scored(result)
    ]
    notes.append(
        "Intervals are over the speakers of each group; a group of one speaker has none. A gap is "
        "that of the best and the worst group; an interval that holds 0 shows no difference."
    )
    first = markdown_table(("System", "Aspect", "Group", "WA", "UA", "Clips", "Speakers"), groups)
    second = markdown_table(("System", "Aspect", "Figure", "Gap", "Points", "95 % interval"), gaps)
    return "\n\n".join((first, second, bullets([*notes, *common_notes(result)])))


def common_notes(result: Result) -> list[str]:
    """What is said below every table of one test set."""
    data = result["data"]
    where = "a raw RAVDESS folder" if data["kind"] == "raw" else f"its {data['split']} split"
    if data["split"] == "all":
        where = "all of its splits"
    notes = [
        f"Figures in per cent with {interval_note(result)}",
        f"Data: `{data['source']}`, {where}; protocol: "
        f"{PROTOCOL_NAMES.get(data['protocol'], data['protocol'])}; {data['clips']} clips of "
        f"{len(data['speakers'])} speakers; text: {TEXT_NAMES[data['text']]}.",
    ]
    if data["limit"] is not None:
        notes.append(f"**Only {data['limit']} clips were scored (`--limit`).**")
    notes += few_speakers(result, "rows")
    notes += [
        f"`{row['system']}` answers {', '.join(row['emotions'])}, and is scored on clips of these."
        for row in _first_of_each(scored(result))
        if len(set(row.get("emotions", ())) - {"neutral"}) not in (0, 7)
    ]
    return [*notes, *answer_notes(result), f"Made by `{result['command']}`."]


def _first_of_each(rows: Sequence[Row]) -> list[Row]:
    return list({row["system"]: row for row in rows}.values())


def points(value: float) -> str:
    """A difference of fractions in points, with its sign.

    >>> points(0.0512)
    '+5.1'
    """
    return f"{100 * value:+.1f}"


def interval_of(interval: Sequence[float] | None) -> str:
    """Both ends in per cent."""
    return "no interval" if interval is None else " to ".join(map(percent, interval))


def p_value(value: float) -> str:
    """A p-value, as it is usually printed.

    >>> p_value(0.0004), p_value(0.25)
    ('below 0.001', '0.250')
    """
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def bullets(notes: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {note}" for note in notes)

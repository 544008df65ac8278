"""Markdown of `compare`, `calibration`, `adaptation` and `fairness` from a results file."""

from speech_emotion.evaluation.tables import (
    SEEN,
    ResultsFile,
    common_notes,
    counts,
    estimate,
    interval_of,
    markdown_table,
    overlap_cell,
    p_value,
    percent,
    points,
    scored,
    seen_note,
    wa_and_ua,
    with_notes,
)

STATES = {
    "without": "without its temperature",
    "as_shipped": "as shipped",
    "other_speakers": "temperature fitted on the other speakers",
}
FITTED_TO = {
    "nothing": "nothing: the model as it is",
    "3": "3 clips",
    "10": "10 clips",
    "half": "half of the speaker's clips",
    "mostly_one_emotion": "clips of which 70 % are of one emotion",
}


def compare_table(results: ResultsFile) -> str:
    """Two models on the same clips, and the tests of their difference."""
    lines = [
        (f"`{result['system']}`", *wa_and_ua(result), *counts(result), overlap_cell(result))
        for result in scored(results)
    ]
    table = markdown_table(("System", "WA", "UA", "Clips", "Speakers", SEEN), lines)
    (found,) = (result for result in results["rows"] if result["kind"] == "difference")
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
        "Differences in points, by a paired bootstrap over speakers, with the same draws for both.",
        f"McNemar's exact test over clips: only `{found['first']}` correct in "
        f"{test['only_first']}, only `{found['second']}` in {test['only_second']}, p "
        f"{p_value(test['p_value'])}. It treats clips of one speaker as independent, which they "
        "are not; the bootstrap does not.",
        *common_notes(results),
    ]
    return with_notes(table, differences, notes=notes)


def calibration_table(results: ResultsFile) -> str:
    """Calibration error in each state, and accuracy at coverage."""
    lines = []
    for result in scored(results):
        for name, state in result["calibration"].items():
            used = state["temperature"]
            used = f"{used[0]:.2f} to {used[1]:.2f}" if isinstance(used, list) else f"{used:.2f}"
            lines.append(
                (
                    f"`{result['system']}`",
                    STATES[name],
                    used,
                    estimate(state["expected_calibration_error"], state["interval"]),
                    *map(percent, state["accuracy_at_coverage"].values()),
                    overlap_cell(result),
                )
            )
    header = ("System", "Confidence", "Temperature", "ECE", "WA at 100 %", "at 80 %", "at 50 %")
    notes = [
        "ECE: expected calibration error over 15 bins in per cent, lower is better, with the 95 % "
        "interval over speakers. WA at a coverage: over the most confident clips, when the model "
        "may abstain on the others.",
        "A temperature fitted on the other speakers is fitted for each speaker without that "
        "speaker's clips.",
        *common_notes(results),
    ]
    return with_notes(markdown_table((*header, SEEN), lines), notes=notes)


def adaptation_table(results: ResultsFile) -> str:
    """UA by the unlabelled clips of a speaker that the model is fitted to."""
    lines = [
        (
            f"`{result['system']}`",
            FITTED_TO[name],
            estimate(found["ua"], found["interval"]),
            overlap_cell(result),
        )
        for result in scored(results)
        for name, found in result["adaptation"].items()
    ]
    notes = [
        "`speech-emotion adapt` removes the logit bias of a speaker, room or microphone. It uses "
        "no labels. Here it is fitted for each speaker: every clip is classified audio-only by a "
        "model fitted to clips of the other half of its speaker's; the mean over seven halvings. "
        "Where one emotion is frequent, it is another one in each halving.",
        *common_notes(results),
    ]
    return with_notes(markdown_table(("System", "Fitted to", "UA", SEEN), lines), notes=notes)


def fairness_table(results: ResultsFile) -> str:
    """Groups with intervals, and the gap between the best and the worst of each aspect."""
    groups, gaps, notes = [], [], []
    for result in scored(results):
        system = f"`{result['system']}`"
        for aspect, found in result["groups"].items():
            for name, group in found["groups"].items():
                figures = [estimate(group[n], group[f"{n}_interval"]) for n in ("wa", "ua")]
                clips, speakers = str(group["clips"]), str(group["speakers"])
                groups.append((system, aspect, name, *figures, clips, speakers))
            if not found["groups"]:
                notes.append(f"The data has no {aspect}.")
            elif found["unknown"]:
                notes.append(f"{system}: {found['unknown']} clips without {aspect}.")
            for figure, gap in (found["gap"] or {}).items():
                which = f"{gap['best']} less {gap['worst']}"
                values = points(gap["gap"]), interval_of(gap["interval"])
                gaps.append((system, aspect, figure.upper(), which, *values))
    notes = [
        *dict.fromkeys(notes),
        *map(seen_note, scored(results)),
        "Intervals are over the speakers of each group; a group of one speaker has none. A gap is "
        "between the best and the worst group; an interval that contains 0 shows no difference.",
        *common_notes(results),
    ]
    first = markdown_table(("System", "Aspect", "Group", "WA", "UA", "Clips", "Speakers"), groups)
    second = markdown_table(("System", "Aspect", "Figure", "Gap", "Points", "95 % interval"), gaps)
    return with_notes(first, second, notes=notes)

"""Building blocks of the Markdown tables, and the notes below them."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from corpus_builder import statistics
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.mfcc_baseline import NAME as MFCC_BASELINE

PROTOCOL_NAMES = {
    "speaker_disjoint": "speaker-disjoint",
    "paper": "paper's, speaker-dependent",
    "folds": "speaker-disjoint folds",
    None: "",
}
TEXT_NAMES = {
    "corpus": "the corpus's transcripts",
    "none": "none, audio-only",
    "asr": "the model's transcriber",
}
FEW_SPEAKERS = 10
"""Below this number of speakers intervals get a warning."""

NOT_RUN = "not run here"
"""Replaces figures."""

MOST_ERRORS = 5
"""A table lists at most this many clips without a prediction for each result."""

SEEN = "Test speakers in the training data"
"""Header of :func:`overlap_cell`."""

ResultsFile = dict[str, Any]
"""The content of a results file; the results are under ``rows``."""

Result = dict[str, Any]


markdown_table = partial(statistics.markdown_table, numbers=False)
"""A Markdown table of text; pipes in cells are escaped."""


def with_notes(*parts: str, notes: Iterable[str]) -> str:
    """Tables with a list of notes below them."""
    return "\n\n".join((*parts, "\n".join(f"- {note}" for note in notes)))


def percent(fraction: float, *, digits: int = 1) -> str:
    """A fraction as per cent, as the paper prints it.

    >>> percent(0.5714)
    '57.1'
    """
    return f"{100 * fraction:.{digits}f}"


def points(value: float) -> str:
    """A difference of fractions in points, with its sign.

    >>> points(0.0512)
    '+5.1'
    """
    return f"{100 * value:+.1f}"


def p_value(value: float) -> str:
    """A p-value, as it is usually printed.

    >>> p_value(0.0004), p_value(0.25)
    ('below 0.001', '0.250')
    """
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def interval_of(interval: Sequence[float] | None) -> str:
    """Both ends in per cent."""
    return "no interval" if interval is None else " to ".join(map(percent, interval))


def estimate(value: float, interval: Sequence[float] | None) -> str:
    """A fraction in per cent, with its interval.

    >>> estimate(0.5, (0.4, 0.6))
    '50.0 (40.0 to 60.0)'
    """
    return f"{percent(value)} ({interval_of(interval)})"


def with_interval(result: Result, figure: str) -> str:
    """A score in per cent, with its interval over speakers."""
    scores = result["scores"]
    return estimate(scores[figure], scores["bootstrap"]["over_speakers"][figure])


def wa_and_ua(result: Result) -> tuple[str, str]:
    """Cells of WA and UA."""
    return with_interval(result, "wa"), with_interval(result, "ua")


def counts(result: Result) -> tuple[str, str]:
    """Cells of the numbers of clips and speakers."""
    return str(result["scores"]["clips"]), str(result["scores"]["speakers"])


def scored(results: ResultsFile) -> list[Result]:
    """The results with scores."""
    return [result for result in results["rows"] if "scores" in result]


def first_of_each(results: ResultsFile) -> list[Result]:
    """One scored result of every system."""
    return list({result["system"]: result for result in scored(results)}.values())


def system_of(result: Result) -> str:
    """Name of the system; a folder or an id as code, the MFCC baseline in words."""
    name = result["system"]
    name = name if name == MFCC_BASELINE else f"`{name}`"
    return f"{name}, eight classes" if result.get("classes") == 8 else name


def overlap_cell(result: Result) -> str:
    """The leak guard's finding, for a cell.

    >>> found = {"speakers": ["a"], "clips": 9}
    >>> scores = {"speakers": 4}
    >>> overlap_cell({"protocol": "speaker_disjoint", "overlap": found, "scores": scores})
    '**LEAK: 1 of 4 test speakers in the training data, 9 clips** (a)'
    """
    overlap, left_out = result["overlap"], result.get("left_out") or {"clips": 0}
    if overlap is None:
        text = "unknown: no training record"
    elif not overlap["speakers"]:
        text = "none"
    else:
        text = (
            f"{len(overlap['speakers'])} of {result['scores']['speakers']} test speakers "
            f"in the training data, {overlap['clips']} clips"
        )
        if result["protocol"] != "paper":
            text = f"**LEAK: {text}** ({', '.join(overlap['speakers'])})"
    if overlap and overlap.get("same_clips"):
        text += f"; **{overlap['same_clips']} of the clips themselves in the training data**"
    if overlap and overlap.get("maybe"):
        text += f"; perhaps: trained on {', '.join(overlap['maybe'])}, speakers not recorded"
    if left_out["clips"]:
        speakers = len(left_out["speakers"])
        text += (
            f"; left out because in the training data: {speakers} speaker{'s' * (speakers != 1)}, "
            f"{left_out['clips']} clips"
        )
    return text


def seen_note(result: Result) -> str:
    """The leak guard's finding, as a note."""
    return f"`{result['system']}`: test speakers in the training data: {overlap_cell(result)}."


def fold_list(result: Result, *, speakers: bool = False) -> str:
    """WA and UA of every fold of a cross-validation, and their mean, in one line."""
    folds = "; ".join(
        f"fold {name}"
        + (f" ({len(fold['speakers'])} speakers)" if speakers else "")
        + f" WA {percent(fold['wa'])}, UA {percent(fold['ua'])}"
        for name, fold in result["folds"].items()
    )
    mean = result["mean"]
    return f"{folds}; mean WA {percent(mean['wa'])}, UA {percent(mean['ua'])}"


def interval_note(results: ResultsFile) -> str:
    """How the intervals of a results file were computed, as the end of a sentence."""
    bootstrap = results["bootstrap"]
    return (
        f"the {100 * bootstrap['level']:.0f} % interval over speakers "
        f"({bootstrap['resamples']} bootstrap samples, seed {bootstrap['seed']})."
    )


def common_notes(results: ResultsFile) -> list[str]:
    """The notes below every table of one test set."""
    data = results["data"]
    where = "a raw RAVDESS folder" if data["kind"] == "raw" else f"its {data['split']} split"
    if data["split"] == "all":
        where = "all of its splits"
    return [
        f"Figures in per cent with {interval_note(results)}",
        f"Data: `{data['source']}`, {where}; protocol: "
        f"{PROTOCOL_NAMES.get(data['protocol'], data['protocol'])}; {data['clips']} clips of "
        f"{len(data['speakers'])} speakers; text: {TEXT_NAMES[data['text']]}.",
        *limit_notes(results),
        *closing_notes(results),
    ]


def limit_notes(results: ResultsFile) -> list[str]:
    """A warning when not all clips were scored."""
    limit = results["data"]["limit"]
    return [] if limit is None else [f"**At most {limit} clips of a set were scored (`--limit`).**"]


def closing_notes(results: ResultsFile) -> list[str]:
    """Few speakers, models with fewer emotions, clips without a prediction, and the command."""
    notes = []
    fewest = min((one["scores"]["speakers"] for one in scored(results)), default=FEW_SPEAKERS)
    if fewest < FEW_SPEAKERS:
        notes.append(
            f"Some results are over {fewest} speakers: an interval over so few is a rough guide "
            "and tends to be too narrow."
        )
    notes += [
        f"`{result['system']}` predicts {', '.join(result['emotions'])}, and is scored on clips of "
        "these."
        for result in first_of_each(results)
        if not set(result.get("emotions") or EMOTIONS) >= set(EMOTIONS)
    ]
    for result in results["rows"]:
        words = (
            result.get("system"),
            PROTOCOL_NAMES.get(result.get("protocol"), ""),
            result.get("name") or result.get("variant") or result.get("corpus"),
        )
        where = ", ".join(filter(None, map(str, filter(None, words))))
        errors = result.get("scores", {}).get("errors", {})
        for utterance_id, error in list(errors.items())[:MOST_ERRORS]:
            notes.append(f"No prediction, counted as an error: {utterance_id}, {where}: {error}")
        if len(errors) > MOST_ERRORS:
            notes.append(f"And {len(errors) - MOST_ERRORS} more without a prediction: {where}.")
        for utterance_id, error in result.get("skipped_in_training", {}).items():
            notes.append(f"Left out of training: {utterance_id}, {where}: {error}")
    return [*notes, f"Command: `{results['command']}`."]


def confusion_tables(results: ResultsFile) -> str:
    """One confusion matrix per scored model (paper, Figure 8)."""
    return "\n\n".join(
        f"{title_of(result)}: clips by true emotion (row) and prediction (column).\n\n"
        f"{_confusion(result)}"
        for result in models_of(results)
    )


def speaker_tables(results: ResultsFile) -> str:
    """Scores of every test speaker, one table per scored model."""
    return "\n\n".join(
        f"{title_of(result)}, by speaker.\n\n"
        + markdown_table(
            ("Speaker", "Clips", "WA", "UA"),
            (
                (name, str(figures["clips"]), percent(figures["wa"]), percent(figures["ua"]))
                for name, figures in result["scores"]["per_speaker"].items()
            ),
        )
        for result in models_of(results)
    )


def models_of(results: ResultsFile) -> list[Result]:
    return [result for result in results["rows"] if result["kind"] == "model"]


def title_of(result: Result) -> str:
    return ", ".join(filter(None, (system_of(result), PROTOCOL_NAMES[result["protocol"]])))


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


ANOTHER_MODEL = "another model"
"""System of a variant that needs its own training."""


def line_of(result: Result, name: str, *more: str) -> tuple[str, ...]:
    system = result["system"] if result["system"] == ANOTHER_MODEL else system_of(result)
    if result["kind"] == "not_run":
        return (system, name, NOT_RUN, result["reason"], "", "")
    return (system, name, *wa_and_ua(result), *more)

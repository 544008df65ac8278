"""Markdown of `robustness`, `ablation`, `cross_corpus` and `mini_folds` from a results file."""

from speech_emotion.evaluation.ablation import ANOTHER_MODEL
from speech_emotion.evaluation.tables import (
    NOT_RUN,
    SEEN,
    Result,
    ResultsFile,
    common_notes,
    counts,
    estimate,
    first_of_each,
    fold_list,
    markdown_table,
    overlap_cell,
    percent,
    points,
    scored,
    seen_note,
    system_of,
    wa_and_ua,
    with_notes,
)

OLD_VARIANTS = {
    "audio and text": "fused",
    "audio alone": "audio-only",
    "text alone": "text-only",
    "with augmentation in training": "trained with augmentation",
    "without augmentation in training": "trained without augmentation",
    "the voice alone in training": "trained audio-only",
}
"""Variants of the ablation in older results files."""


def robustness_table(results: ResultsFile) -> str:
    """One line per model and condition, with the difference from the clips as recorded."""
    reference = {
        result["system"]: result["scores"]["ua"]
        for result in scored(results)
        if result["condition"] == "as_recorded"
    }
    lines = []
    for result in results["rows"]:
        best = reference.get(result["system"])
        more: tuple[str, ...] = ()
        if "scores" in result:
            loss = "" if best is None else points(result["scores"]["ua"] - best)
            more = (loss, str(result["scores"]["unanswered"]))
        lines.append(_line(result, result["name"], *more))
    header = ("System", "Condition", "WA", "UA", "UA against as recorded", "Without prediction")
    notes = [
        "A clip is degraded first, and then cleaned by the model as in use. A clip that the model "
        "refuses counts as an error.",
        "Noise is white; speed shifts the pitch; reverberation is synthetic, with an RT60 of 0.6 s "
        "and as much energy as the direct sound.",
        *map(seen_note, first_of_each(results)),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)


def ablation_table(results: ResultsFile) -> str:
    """One line per model and variant."""
    lines = []
    for result in results["rows"]:
        scores = result.get("scores")
        more = (str(scores["clips"]), str(scores["unanswered"])) if scores else ()
        variant = result["variant"]
        lines.append(_line(result, OLD_VARIANTS.get(variant, variant), *more))
    header = ("System", "Variant", "WA", "UA", "Clips", "Without prediction")
    notes = [
        "The sentences of RAVDESS, TESS and CREMA-D are the same for every emotion: on them text "
        "cannot help, and text-only predictions can be no better than chance.",
        *map(seen_note, first_of_each(results)),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)


def cross_corpus_table(results: ResultsFile) -> str:
    """One block of lines per corpus, its prior first."""
    lines: list[tuple[str, ...]] = []
    figures: tuple[str, ...]
    for result in results["rows"]:
        kind, corpus = result["kind"], result["corpus"]
        if kind == "prior":
            name = f"always {result['commonest']} (UA: chance, 1/{result['emotions']})"
            figures = (percent(result["wa"]), percent(result["ua"]))
            lines.append(
                (corpus, name, *figures, str(result["clips"]), str(result["speakers"]), "")
            )
        elif kind == "not_run":
            figures = (NOT_RUN, NOT_RUN, "", "")
            lines.append((corpus, system_of(result), *figures, result["reason"]))
        else:
            name = system_of(result)
            if kind == "folds":
                name += f", {len(result['folds'])} speaker-disjoint folds"
            elif kind == "baseline":
                name += ", trained on the other corpora"
            figures = (*wa_and_ua(result), *counts(result))
            lines.append((corpus, name, *figures, overlap_cell(result)))
    header = ("Corpus", "System", "WA", "UA", "Clips", "Speakers", SEEN)
    notes = [
        "All recordings of a corpus are scored, except those of speakers in the training data.",
        "TESS has two actresses: its figures are over two speakers.",
        *(
            f"`{result['system']}`, {result['corpus']}, by fold: "
            f"{fold_list(result, speakers=True)}."
            for result in results["rows"]
            if result["kind"] == "folds"
        ),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)


def mini_folds_table(results: ResultsFile) -> str:
    """The recipe of `checkpoints/mini` on its folds, beside references on the same folds."""
    shown = [*results["recipe"], *results["references"]]
    folds = [f"UA, fold {fold}" for fold in shown[0]["folds"]]
    header = ("System", "Training data", *folds, "Mean UA", "WA, all folds", "UA, all folds")
    lines = [
        (
            result["name"],
            result["heard"],
            *(percent(fold["ua"]) for fold in result["folds"].values()),
            percent(result["mean"]["ua"]),
            *(
                estimate(result["pooled"][name], result["pooled"]["over_speakers"][name])
                for name in ("wa", "ua")
            ),
        )
        for result in shown
    ]
    pooled = shown[0]["pooled"]
    commands = [f"`{result['command']}`" for result in results["recipe"]]
    if run := results.get("references_by"):
        commands.append(f"`{run['command']}` (the references, at commit {run['commit'][:12]})")
    commands.append(f"`{results['command']}`")
    notes = [
        f"In per cent. RAVDESS, neutral removed, {pooled['clips']} clips of {pooled['speakers']} "
        "actors in its published subject-wise folds, as far as the data has them: every actor is "
        "tested with a model without that actor in the training data of any stage. In brackets "
        "the 95 % interval over speakers.",
        "The last epoch is kept. The settings of the recipe were chosen with these folds in "
        "view, which makes its figures slightly optimistic.",
        f"Commands: {', '.join(dict.fromkeys(commands))}.",
    ]
    return with_notes(markdown_table(header, lines), notes=notes)


def _line(result: Result, name: str, *more: str) -> tuple[str, ...]:
    system = result["system"] if result["system"] == ANOTHER_MODEL else system_of(result)
    if result["kind"] == "not_run":
        return (system, name, NOT_RUN, result["reason"], "", "")
    return (system, name, *wa_and_ua(result), *more)

"""Ablation: audio-only, text-only and fused; transcripts; cleaning."""

from typing import Any

from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.classifiers import MODALITIES, NO_TEXT
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.tables import (
    ANOTHER_MODEL,
    ResultsFile,
    common_notes,
    first_of_each,
    line_of,
    markdown_table,
    seen_note,
    with_notes,
)

VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fused", {"text": "corpus", "also": MODALITIES}),
    ("audio-only", {"text": "corpus", "modality": "audio"}),
    ("text-only", {"text": "corpus", "modality": "text"}),
    ("no transcript", {"text": "none"}),
    ("transcript by the model's transcriber", {"text": "asr"}),
    ("without cleaning", {"text": "corpus", "clean": False}),
)
"""Every variant, with the arguments of the prediction."""

NEEDS_TRAINING = (
    ("trained with augmentation", "--config configs/mini.yaml --augment 0.4"),
    ("trained without augmentation", "--config configs/mini.yaml --augment 0"),
    ("trained audio-only", "--config configs/hubert.yaml"),
)


def run(settings: Settings) -> Outcome:
    """Score every model in every variant that it and the data allow; others get a reason.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    outcome = Outcome()
    for predictor in predictors(settings, outcome):
        for variant, how in VARIANTS:
            reason = _cannot(predictor.model, predictor.clips, how)
            if not reason and how["text"] == "asr":
                clip = predictor.clips.clips[0]["audio"]
                reason = predictor.classifier("asr").why_no_transcript(clip)
            if not reason:
                with outcome.timed(f"{predictor.name}, {variant}"):
                    table = predictor.predict(**how)
                if table["predicted"].isna().all():
                    reason = table["error"].iloc[0]
            if reason:
                outcome.not_run(predictor.name, reason, variant=variant)
            else:
                outcome.add(predictor.result(table, variant=variant), table, variant=variant)
    for variant, options in NEEDS_TRAINING:
        command = f"python train.py {options} --data corpus --output-dir FOLDER"
        outcome.not_run(ANOTHER_MODEL, f"`{command}`, then add `--model FOLDER`", variant=variant)
    return outcome


def _cannot(model: Model, clips: ClipSet, how: dict) -> str | None:
    reads_text = model.family == "pipeline"
    if not reads_text and (how["text"] != "corpus" or "modality" in how):
        return NO_TEXT
    if (
        how["text"] == "corpus"
        and reads_text
        and "clean" not in how
        and not any(clips.clips["transcript"][:])
    ):
        return "the data has no transcripts"
    if how.get("clean") is False and clips.cleaned:
        return "the clips of a built corpus have been cleaned: give the raw RAVDESS folder"
    return None


OLD_VARIANTS = {
    "audio and text": "fused",
    "audio alone": "audio-only",
    "text alone": "text-only",
    "with augmentation in training": "trained with augmentation",
    "without augmentation in training": "trained without augmentation",
    "the voice alone in training": "trained audio-only",
}
"""Variants of the ablation in older results files."""


def table(results: ResultsFile) -> str:
    """One line per model and variant."""
    lines = []
    for result in results["rows"]:
        scores = result.get("scores")
        more = (str(scores["clips"]), str(scores["unanswered"])) if scores else ()
        variant = result["variant"]
        lines.append(line_of(result, OLD_VARIANTS.get(variant, variant), *more))
    header = ("System", "Variant", "WA", "UA", "Clips", "Without prediction")
    notes = [
        "The sentences of RAVDESS, TESS and CREMA-D are the same for every emotion: on them text "
        "cannot help, and text-only predictions can be no better than chance.",
        *map(seen_note, first_of_each(results)),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)

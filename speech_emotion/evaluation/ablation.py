"""Ablation: audio-only, text-only and fused; transcripts; cleaning."""

import json
from typing import Any

from speech_emotion.evaluation.benchmark import Outcome, Settings
from speech_emotion.evaluation.cached_predictor import predictors
from speech_emotion.evaluation.classifiers import MODALITIES, NO_TEXT
from speech_emotion.evaluation.clips import HUB_ID, PROTOCOLS, ClipSet
from speech_emotion.evaluation.leaks import read_record
from speech_emotion.evaluation.models import Model
from speech_emotion.evaluation.paper_rows import train_commands
from speech_emotion.evaluation.provenance import portable
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
    ("trained with augmentation", "hubert_bert_mini", "--augment 0.4"),
    ("trained without augmentation", "hubert_bert_mini", ""),
    ("trained audio-only", "hubert_mini", ""),
)
"""Variants that are models of their own, with config and options: they start from the encoders of
the embedded checkpoint, so that they can be trained anywhere."""


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
                name = _config(predictor.model).get("transcriber", "")
                if reason and HUB_ID.fullmatch(name):
                    reason += f": `hf download {name}` fetches it"
            if not reason:
                with outcome.timed(f"{predictor.name}, {variant}"):
                    table = predictor.predict(**how)
                if table["predicted"].isna().all():
                    reason = table["error"].iloc[0]
            if reason:
                outcome.not_run(predictor.name, reason, variant=variant)
            else:
                outcome.add(predictor.result(table, variant=variant), table, variant=variant)
    trained = {portable(one.name): _trained(one) for one in settings.distinct_models}
    outcome.data["trained"] = trained
    for variant, config, options in NEEDS_TRAINING:
        if any(variant in variants for variants in trained.values()):
            continue
        folder = f"runs/ablation_{variant.removeprefix('trained ').replace(' ', '_')}"
        commands = train_commands(
            config, protocol=PROTOCOLS[0], data="corpus", output_dir=folder, options=options
        )
        reason = f"`make data`, then {commands}, then add `--model {folder}`"
        outcome.not_run(ANOTHER_MODEL, reason, variant=variant)
    return outcome


def _trained(model: Model) -> list[str]:
    """Those of :data:`NEEDS_TRAINING` that a model is, as far as its files say."""
    found = []
    if model.family == "stock" or _config(model).get("use_text") is False:
        found.append("trained audio-only")
    settings = (read_record(model.folder) or {}).get("settings")
    if model.family != "baseline" and settings:
        with_it = settings.get("augment") or settings.get("poor_recordings")
        found.append(f"trained with{'' if with_it else 'out'} augmentation")
    return found


def _config(model: Model) -> dict[str, Any]:
    return json.loads((model.folder / "config.json").read_text(encoding="utf-8"))


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


def table(results: ResultsFile) -> str:
    """One line per model and variant."""
    lines = []
    for result in results["rows"]:
        scores = result.get("scores")
        more = (str(scores["clips"]), str(scores["unanswered"])) if scores else ()
        lines.append(line_of(result, result["variant"], *more))
    header = ("System", "Variant", "WA", "UA", "Clips", "Without prediction")
    notes = [
        "The sentences of RAVDESS, TESS and CREMA-D are the same for every emotion: on them text "
        "cannot help, and text-only predictions can be no better than chance.",
        *(
            f"`{name}`: {', '.join(variants)}."
            for name, variants in results["data"].get("trained", {}).items()
            if variants
        ),
        *map(seen_note, first_of_each(results)),
        *common_notes(results),
    ]
    return with_notes(markdown_table(header, lines), notes=notes)

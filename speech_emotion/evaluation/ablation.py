"""What each part of the model is worth: audio, text, both; transcripts; cleaning."""

from speech_emotion.evaluation.classifiers import MODALITIES
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.condition_tables import ANOTHER_MODEL
from speech_emotion.evaluation.measuring import Outcome, Row, Settings, Timer, askers
from speech_emotion.evaluation.models import Model

VARIANTS = (
    ("audio and text", {"text": "corpus", "also": MODALITIES}),
    ("audio alone", {"text": "corpus", "modality": "audio"}),
    ("text alone", {"text": "corpus", "modality": "text"}),
    ("no transcript", {"text": "none"}),
    ("transcript by the model's transcriber", {"text": "asr"}),
    ("without cleaning", {"text": "corpus", "clean": False}),
)
"""Every variant, and how the model is asked."""

NEEDS_TRAINING = (
    ("with augmentation in training", "--config configs/mini.yaml --augment 0.4"),
    ("without augmentation in training", "--config configs/mini.yaml --augment 0"),
    ("the voice alone in training", "--config configs/hubert.yaml"),
)


def run(settings: Settings) -> Outcome:
    """Score every model in every variant that it and the data allow; the others say why not.

    Raises:
        EvaluationError: a model or the data cannot be used.
    """
    outcome = Outcome()
    for asker in askers(settings, outcome):
        for name, how in VARIANTS:
            reason = _cannot(asker.model, asker.clips, how)
            if not reason and how["text"] == "asr":
                reason = asker.classifier("asr").why_no_transcript(asker.clips.clips[0]["audio"])
            if reason:
                outcome.rows.append(_not_run(asker.name, name, reason))
                continue
            with Timer(outcome, f"{asker.name}, {name}"):
                table = asker.table(**how)
            if table["predicted"].isna().all():
                outcome.rows.append(_not_run(asker.name, name, table["error"].iloc[0]))
                continue
            outcome.rows.append(asker.row(table, variant=name))
            outcome.tables.append(table.assign(system=asker.name, variant=name))
    outcome.rows += [
        _not_run(
            ANOTHER_MODEL,
            name,
            f"`python train.py {options} --data corpus --out FOLDER`, then add `--model FOLDER`",
        )
        for name, options in NEEDS_TRAINING
    ]
    return outcome


def _cannot(model: Model, clips: ClipSet, how: dict) -> str | None:
    reads_text = model.family == "pipeline"
    if not reads_text and (how["text"] != "corpus" or "modality" in how):
        return "it hears the voice alone"
    if (
        how["text"] == "corpus"
        and reads_text
        and "clean" not in how
        and not any(clips.clips["transcript"][:])
    ):
        return "the data has no transcripts"
    if how.get("clean") is False and clips.cleaned:
        return "the clips of a built corpus are cleaned already: give the raw RAVDESS folder"
    return None


def _not_run(system: str, variant: str, reason: str) -> Row:
    return {"kind": "not_run", "system": system, "variant": variant, "reason": reason}

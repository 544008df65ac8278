"""Results of a cross-validation by `train.py --folds`: each fold, their mean, and pooled."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpus_builder.sources.ravdess import FOLD_OF
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Result
from speech_emotion.evaluation.clips import EmptyError
from speech_emotion.evaluation.leaks import TrainingRecord, read_record
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import PROBABILITIES, brief_scores, ids_of, score

FIGURES_FILE, PREDICTIONS_FILE = "cross_validation.json", "predictions.parquet"
NEEDED = ("fold", "corpus", "text", "speaker_id", "label", "predicted", "error", *PROBABILITIES)


def read_folds(folder: str, *, corpus: str, text: str, seed: int) -> tuple[Result, pd.DataFrame]:
    """Score the predictions of a cross-validation, and compare each fold with its training data.

    Args:
        folder: the output folder of `train.py`.
        corpus: score only the clips of this corpus.
        text: "corpus" or "none"; an audio-only model has only "none".
        seed: of the bootstrap.

    Returns:
        the result, with ``folds``, ``mean`` and pooled ``scores``; and the table of predictions.

    Raises:
        EvaluationError: no cross-validation, no clip of the corpus, no speakers, or a speaker in
            two folds.
    """
    where = f"--folds {folder}"
    try:
        figures = json.loads((Path(folder) / FIGURES_FILE).read_text(encoding="utf-8"))
        table = pd.read_parquet(Path(folder) / PREDICTIONS_FILE)
    except OSError as error:
        raise EvaluationError(
            f"{where}: no finished cross-validation ({Path(error.filename or '').name}); "
            "train.py --folds all makes one"
        ) from error
    except ValueError as error:
        raise EvaluationError(
            f"{where}: {FIGURES_FILE} or {PREDICTIONS_FILE} is damaged"
        ) from error
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise EvaluationError(f"{where}: {PREDICTIONS_FILE} has no column {', '.join(missing)}")
    table = table[table["corpus"] == corpus]
    if not len(table):
        raise EmptyError(f"{where}: empty split: no clip of {corpus}")
    if text not in set(table["text"]):
        text = "none"
    table = table[table["text"] == text].reset_index(drop=True)
    if table["speaker_id"].isna().any():
        raise EvaluationError(f"{where}: some clips have no speaker")
    if (table.groupby("speaker_id")["fold"].nunique() > 1).any():
        raise EvaluationError(f"{where}: a speaker is in two folds")
    seen = {int(fold): _speakers(Path(folder) / f"fold_{fold}") for fold in table["fold"].unique()}
    result = folds_result(
        table,
        system=portable(folder),
        corpus=corpus,
        seen=seen,
        seed=seed,
        text=text,
        command=figures.get("command"),
        commit=figures.get("commit"),
        data_fingerprints=(figures.get("data") or {}).get("fingerprints"),
    )
    return result, table.assign(system=portable(folder), protocol="folds")


def folds_result(
    table: pd.DataFrame,
    *,
    system: str,
    corpus: str,
    seen: dict[int, Collection[str] | None],
    seed: int,
    classes: Sequence[str] = EMOTIONS,
    **more: Any,
) -> Result:
    """The result of a cross-validation, from the predictions of all its folds.

    Args:
        table: predictions with the column ``fold``; a speaker is in one fold.
        system: name of the model.
        corpus: the corpus of the folds.
        seen: the training speakers of each fold's model; None when they are not known.
        seed: of the bootstrap.
        classes: the emotions that were predicted.
        more: further values of the result.
    """
    speakers = {int(f): sorted(set(part["speaker_id"])) for f, part in table.groupby("fold")}
    folds = {
        str(fold): {**_brief(part, classes), "speakers": speakers[int(fold)]}
        for fold, part in table.groupby("fold")
    }
    unknown = any(seen[fold] is None for fold in speakers)
    leaked = sorted(
        name for fold, names in speakers.items() for name in set(names) & set(seen[fold] or ())
    )
    return {
        "kind": "folds",
        "system": system,
        "protocol": "folds",
        "corpus": corpus,
        "published": corpus == "ravdess" and _published(speakers),
        **({} if tuple(classes) == EMOTIONS else {"classes": len(classes)}),
        **more,
        "overlap": None
        if unknown
        else {
            "speakers": leaked,
            "clips": int(table["speaker_id"].isin(leaked).sum()),
            "same_clips": 0,
            "maybe": [],
        },
        "left_out": {"speakers": [], "clips": 0},
        "folds": folds,
        "mean": {
            name: float(np.mean([fold[name] for fold in folds.values()])) for name in ("wa", "ua")
        },
        "scores": score(table, classes=classes, seed=seed),
    }


def published_fold(speaker: str) -> int | None:
    """The fold of an actor of RAVDESS in the published subject-wise folds.

    >>> published_fold("ravdess-03"), published_fold("tess-oaf")
    (1, None)
    """
    actor = speaker.rpartition("-")[2]
    return FOLD_OF.get(int(actor)) if actor.isdigit() else None


def _brief(table: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    references, predictions, _ = ids_of(table, classes=classes)
    return brief_scores(references, predictions)


def _published(speakers: dict[int, list[str]]) -> bool:
    """Whether these are the published folds, or some of them."""
    return all(published_fold(name) == fold for fold, names in speakers.items() for name in names)


def _speakers(folder: Path) -> Collection[str] | None:
    """The training speakers of a fold's checkpoint; None when it does not name them."""
    try:
        return TrainingRecord.of(read_record(folder)).speakers
    except (OSError, ValueError):
        return None

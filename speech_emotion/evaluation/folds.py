"""Results of a cross-validation by `train.py --folds`: each fold, their mean, and pooled."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import parquet

from corpus_builder.sources.ravdess import FOLD_OF
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.benchmark import Result
from speech_emotion.evaluation.clips import EmptyError
from speech_emotion.evaluation.leaks import TrainingRecord, read_record
from speech_emotion.evaluation.provenance import portable
from speech_emotion.evaluation.scoring import classes_of, columns_of, fold_scores, restricted, score
from speech_emotion.evaluation.tables import (
    ResultsFile,
    estimate,
    markdown_table,
    percent,
    with_notes,
)
from speech_emotion.training.held_out import PREDICTIONS_FILE

FIGURES_FILE = "cross_validation.json"
NEEDED = ("fold", "corpus", "text", "speaker_id", "label", "predicted", "error")


def read_folds(
    folder: str, *, corpus: str, text: str, seed: int, classes: Sequence[str] = EMOTIONS
) -> tuple[Result, pd.DataFrame]:
    """Score the predictions of a cross-validation, and compare each fold with its training data.

    Args:
        folder: the output folder of `train.py`.
        corpus: score only the clips of this corpus.
        text: "corpus" or "none"; an audio-only model has only "none".
        seed: of the bootstrap.
        classes: some of those that were predicted; clips of others are left out, see
            :func:`~speech_emotion.evaluation.scoring.restricted`.

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
    missing = [name for name in (*NEEDED, *columns_of(classes)) if name not in table.columns]
    if missing:
        raise EvaluationError(f"{where}: {PREDICTIONS_FILE} has no column {', '.join(missing)}")
    table = table[table["corpus"] == corpus]
    if not len(table):
        raise EmptyError(f"{where}: empty split: no clip of {corpus}")
    if text not in set(table["text"]):
        text = "none"
    table = restricted(table[table["text"] == text], classes)
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
        classes=classes,
        text=text,
        command=figures.get("command"),
        commit=figures.get("commit"),
        data_fingerprints=(figures.get("data") or {}).get("fingerprints"),
    )
    return result, table.assign(system=portable(folder), protocol="folds")


def predicted_classes(folder: str) -> tuple[str, ...]:
    """The classes that the models of a cross-validation predict; empty when it is not there."""
    try:
        names = parquet.read_schema(Path(folder) / PREDICTIONS_FILE).names
    except (OSError, ValueError):
        return ()
    return classes_of(names)


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
    by_fold = fold_scores(table, classes=classes)
    speakers = {int(name): fold["speakers"] for name, fold in by_fold["folds"].items()}
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
        **by_fold,
        "scores": score(table, classes=classes, seed=seed),
    }


def published_fold(speaker: str) -> int | None:
    """The fold of an actor of RAVDESS in the published subject-wise folds.

    >>> published_fold("ravdess-03"), published_fold("tess-oaf")
    (1, None)
    """
    actor = speaker.rpartition("-")[2]
    return FOLD_OF.get(int(actor)) if actor.isdigit() else None


def _published(speakers: dict[int, list[str]]) -> bool:
    """Whether these are the published folds, or some of them."""
    return all(published_fold(name) == fold for fold, names in speakers.items() for name in names)


def _speakers(folder: Path) -> Collection[str] | None:
    """The training speakers of a fold's checkpoint; None when it does not name them."""
    try:
        return TrainingRecord.of(read_record(folder)).speakers
    except (OSError, ValueError):
        return None


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

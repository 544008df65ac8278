"""Tables of predictions, and their scores."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss

from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation.classifiers import Prediction
from speech_emotion.evaluation.clips import COLUMNS, ClipSet

SCORES = {"wa": metrics.wa, "ua": metrics.ua}
"""The scores of every group of clips, by their names in results files."""


def columns_of(classes: Sequence[str]) -> list[str]:
    """Names of the columns that hold the probabilities."""
    return [f"p_{name}" for name in classes]


PROBABILITIES = columns_of(EMOTIONS)


def classes_of(columns: Iterable[str]) -> tuple[str, ...]:
    """The classes of a table of predictions, by the names of its columns and in their order."""
    return tuple(name[2:] for name in columns if name.startswith("p_"))


def restricted(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The clips of some classes, predicted as if there were no others.

    The probabilities of the other classes are left out, and the rest scaled to a sum of 1.

    Args:
        table: see :func:`prediction_table`.
        classes: some of its classes.
    """
    left = set(classes_of(table.columns)) - set(classes)
    if not left:
        return table.reset_index(drop=True)
    table = table[table["label"].isin(classes)].drop(columns=columns_of(sorted(left)))
    kept = table[columns_of(classes)].to_numpy()
    answered = table["predicted"].notna().to_numpy()
    table[columns_of(classes)] = kept / kept.sum(axis=1, keepdims=True)
    table.loc[answered, "predicted"] = np.asarray(classes)[kept[answered].argmax(axis=1)]
    return table.reset_index(drop=True)


def prediction_table(
    clips: ClipSet, predictions: Sequence[Prediction], *, classes: Sequence[str] = EMOTIONS
) -> pd.DataFrame:
    """One row per clip: its ids and label, the prediction, or the error.

    Args:
        clips: the clips; their labels are indices into ``classes``.
        predictions: one for each clip.
        classes: the emotions that are predicted.

    Returns:
        Columns utterance_id, speaker_id, label, predicted (None when there is an error),
        error (None when there is a prediction), and ``p_<emotion>`` (float, NaN with an error).
    """
    rows = []
    facts = clips.clips.select_columns([name for name in COLUMNS if name != "audio"])
    for clip, found in zip(facts, predictions, strict=True):
        failed = isinstance(found, str)
        probabilities = np.full(len(classes), np.nan) if failed else found
        rows.append(
            {
                "utterance_id": clip["utterance_id"],
                "speaker_id": clip["speaker_id"],
                "label": classes[clip["label"]],
                "predicted": None if failed else classes[int(np.argmax(found))],
                "error": found if failed else None,
            }
            | dict(zip(columns_of(classes), map(float, probabilities), strict=True))
        )
    return pd.DataFrame(rows)


def answered_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the clips that have a prediction."""
    return table[table["predicted"].notna()]


def ids_of(
    table: pd.DataFrame, *, classes: Sequence[str] = EMOTIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arguments of the metrics from a table of predictions.

    Returns:
        true ids and predicted ids, int (num_clips,), NO_ANSWER for an error; and the
        speakers, str (num_clips,).
    """
    number = {name: index for index, name in enumerate(classes)}
    references = table["label"].map(number).to_numpy(dtype=int)
    predictions = table["predicted"].map(number).fillna(metrics.NO_ANSWER).to_numpy(dtype=int)
    return references, predictions, table["speaker_id"].to_numpy(dtype=str)


def log_probabilities(table: pd.DataFrame, *, classes: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Logarithms of the probabilities, float (num_clips, num_classes); of 0 the smallest normal
    number."""
    return np.log(np.clip(table[columns_of(classes)].to_numpy(), np.finfo(float).tiny, None))


def brief_scores(
    references: np.ndarray, predictions: np.ndarray, chosen: np.ndarray | slice = slice(None)
) -> dict[str, Any]:
    """Number of clips, WA and UA, of all clips or of the ``chosen`` ones."""
    part = references[chosen], predictions[chosen]
    return {"clips": len(part[0]), **{name: figure(*part) for name, figure in SCORES.items()}}


def score(
    table: pd.DataFrame,
    *,
    classes: Sequence[str] = EMOTIONS,
    resamples: int = metrics.RESAMPLES,
    seed: int = metrics.SEED,
) -> dict[str, Any]:
    """All scores of one model on one set of clips, as plain JSON values.

    A clip without a prediction counts as an error in every score but the calibration error,
    which is over the clips with a prediction.

    Args:
        table: see :func:`prediction_table`; the speaker "" is one that is not known.
        classes: its classes.
        resamples: bootstrap samples of the intervals.
        seed: seed of the bootstrap.
    """
    references, predictions, speakers = ids_of(table, classes=classes)
    answered = predictions != metrics.NO_ANSWER
    figures = {**SCORES, "ua_plus_wa": metrics.ua_plus_wa, "macro_f1": metrics.macro_f1}
    probabilities = table.loc[answered, columns_of(classes)].to_numpy()
    recall = metrics.per_class_recall(references, predictions, num_classes=len(classes))
    confusion = metrics.confusion_matrix(references, predictions, num_classes=len(classes))

    def intervals(groups: np.ndarray | None) -> dict[str, Any]:
        return {
            name: metrics.bootstrap_interval(
                figure, references, predictions, speakers=groups, resamples=resamples, seed=seed
            )
            for name, figure in figures.items()
        }

    return {
        "clips": len(table),
        "speakers": len(set(speakers) - {""}),
        "unanswered": int((~answered).sum()),
        **{name: figure(references, predictions) for name, figure in figures.items()},
        "expected_calibration_error": metrics.expected_calibration_error(
            references[answered], probabilities
        )
        if answered.any()
        else None,
        "log_loss": float(
            log_loss(references[answered], probabilities, labels=np.arange(len(classes)))
        )
        if answered.any()
        else None,
        "recall": dict(zip(classes, recall, strict=True)),
        "precision": {
            name: float(hits / clips) if clips else None
            for name, hits, clips in zip(
                classes, confusion.diagonal(), confusion.sum(axis=0), strict=True
            )
        },
        "bootstrap": {
            "level": metrics.LEVEL,
            "resamples": resamples,
            "seed": seed,
            "over_speakers": intervals(speakers),
            "over_clips": intervals(None),
        },
        "confusion": {"labels": list(classes), "rows_true_columns_predicted": confusion.tolist()},
        "per_speaker": {
            speaker: brief_scores(references, predictions, speakers == speaker)
            for speaker in sorted(set(speakers) - {""})
        },
        "errors": {row.utterance_id: row.error for row in table[~answered].itertuples(index=False)},
    }


def fold_scores(table: pd.DataFrame, *, classes: Sequence[str] = EMOTIONS) -> dict[str, Any]:
    """Brief scores and speakers of every fold of a cross-validation, and their mean.

    Args:
        table: predictions with the column ``fold``.
        classes: the emotions that were predicted.
    """
    folds = {
        str(fold): {
            "speakers": sorted(set(part["speaker_id"])),
            **brief_scores(*ids_of(part, classes=classes)[:2]),
        }
        for fold, part in table.groupby("fold")
    }
    mean = {name: float(np.mean([fold[name] for fold in folds.values()])) for name in SCORES}
    return {"folds": folds, "mean": mean}


def prior(labels: Sequence[str]) -> dict[str, Any]:
    """The scores of always predicting the commonest label, with the shares of the labels.

    Args:
        labels: the label of every clip.
    """
    counts = Counter(labels)
    commonest = max(counts, key=counts.__getitem__)
    shares = np.array(list(counts.values())) / len(labels)
    share = counts[commonest] / len(labels)
    return {
        "commonest": commonest,
        "emotions": len(counts),
        "wa": share,
        "ua": 1 / len(counts),
        "macro_f1": 2 * share / (1 + share) / len(counts),
        "log_loss": float(-(shares * np.log(shares)).sum()),
    }

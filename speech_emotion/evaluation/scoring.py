"""From answers to a table of predictions, and from that table to scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hub_model.labels import EMOTIONS
from speech_emotion import metrics
from speech_emotion.evaluation.classifiers import Answer
from speech_emotion.evaluation.clips import COLUMNS, ClipSet


def columns_of(classes: Sequence[str]) -> list[str]:
    """Names of the columns that hold the probabilities."""
    return [f"p_{name}" for name in classes]


PROBABILITIES = columns_of(EMOTIONS)


def prediction_table(
    clips: ClipSet, answers: Sequence[Answer], *, classes: Sequence[str] = EMOTIONS
) -> pd.DataFrame:
    """One row per clip: what it is, what was answered, or why nothing was.

    Args:
        clips: what was asked about; their labels are indices into ``classes``.
        answers: one a clip.
        classes: what was answered.

    Returns:
        Columns utterance_id, speaker_id, label, predicted (None when there is no answer),
        error (None when there is one), and ``p_<emotion>`` (float, NaN without an answer).
    """
    rows = []
    facts = clips.clips.select_columns([name for name in COLUMNS if name != "audio"])
    for row, answer in zip(facts, answers, strict=True):
        failed = isinstance(answer, str)
        probabilities = np.full(len(classes), np.nan) if failed else answer
        rows.append(
            {
                "utterance_id": row["utterance_id"],
                "speaker_id": row["speaker_id"],
                "label": classes[row["label"]],
                "predicted": None if failed else classes[int(np.argmax(answer))],
                "error": answer if failed else None,
            }
            | dict(zip(columns_of(classes), map(float, probabilities), strict=True))
        )
    return pd.DataFrame(rows)


def ids_of(
    table: pd.DataFrame, *, classes: Sequence[str] = EMOTIONS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the metrics take of a table.

    Returns:
        true ids and predicted ids, int (num_clips,), NO_ANSWER where there is none; and the
        speakers, str (num_clips,).
    """
    number = {name: index for index, name in enumerate(classes)}
    references = table["label"].map(number).to_numpy(dtype=int)
    predictions = table["predicted"].map(number).fillna(metrics.NO_ANSWER).to_numpy(dtype=int)
    return references, predictions, table["speaker_id"].to_numpy(dtype=str)


def score(
    table: pd.DataFrame,
    *,
    classes: Sequence[str] = EMOTIONS,
    resamples: int = metrics.RESAMPLES,
    seed: int = metrics.SEED,
) -> dict[str, Any]:
    """All figures of one predictor on one set of clips, as plain JSON values.

    A clip without an answer counts as an error in every score but the calibration error,
    which is over the answered clips.

    Args:
        table: what :func:`prediction_table` returns.
        classes: its classes.
        resamples: bootstrap samples of the intervals.
        seed: seed of the bootstrap.
    """
    references, predictions, speakers = ids_of(table, classes=classes)
    answered = predictions != metrics.NO_ANSWER
    figures = {"wa": metrics.wa, "ua": metrics.ua, "ua_plus_wa": metrics.ua_plus_wa}
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
        "speakers": len(set(speakers)),
        "unanswered": int((~answered).sum()),
        **{name: figure(references, predictions) for name, figure in figures.items()},
        "macro_f1": metrics.macro_f1(references, predictions),
        "expected_calibration_error": metrics.expected_calibration_error(
            references[answered], table.loc[answered, columns_of(classes)].to_numpy()
        )
        if answered.any()
        else None,
        "recall": dict(zip(classes, recall, strict=True)),
        "bootstrap": {
            "level": metrics.LEVEL,
            "resamples": resamples,
            "seed": seed,
            "over_speakers": intervals(speakers),
            "over_clips": intervals(None),
        },
        "confusion": {"labels": list(classes), "rows_true_columns_predicted": confusion.tolist()},
        "per_speaker": {
            speaker: {
                "clips": int((speakers == speaker).sum()),
                "wa": metrics.wa(references[speakers == speaker], predictions[speakers == speaker]),
                "ua": metrics.ua(references[speakers == speaker], predictions[speakers == speaker]),
            }
            for speaker in sorted(set(speakers))
        },
        "errors": {row.utterance_id: row.error for row in table[~answered].itertuples(index=False)},
    }

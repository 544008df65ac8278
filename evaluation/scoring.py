"""From answers to a table of predictions, and from that table to scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import metrics
from corpus_builder.labels import EMOTIONS
from evaluation.clips import ClipSet
from evaluation.models import Answer

PROBABILITIES = [f"p_{emotion}" for emotion in EMOTIONS]


def prediction_table(clips: ClipSet, answers: Sequence[Answer]) -> pd.DataFrame:
    """One row per clip: what it is, what was answered, or why nothing was.

    Returns:
        Columns utterance_id, speaker_id, label, predicted (None when there is no answer),
        error (None when there is one), and ``p_<emotion>`` (float, NaN without an answer).
    """
    rows = []
    for row, answer in zip(clips.clips.remove_columns("audio"), answers, strict=True):
        failed = isinstance(answer, str)
        probabilities = np.full(len(EMOTIONS), np.nan) if failed else answer
        rows.append(
            {
                "utterance_id": row["utterance_id"],
                "speaker_id": row["speaker_id"],
                "label": EMOTIONS[row["label"]],
                "predicted": None if failed else EMOTIONS[int(np.argmax(answer))],
                "error": answer if failed else None,
            }
            | dict(zip(PROBABILITIES, map(float, probabilities), strict=True))
        )
    return pd.DataFrame(rows)


def score(
    table: pd.DataFrame,
    *,
    resamples: int = metrics.RESAMPLES,
    seed: int = metrics.SEED,
) -> dict[str, Any]:
    """All figures of one predictor on one set of clips, as plain JSON values.

    A clip without an answer counts as an error in every score but the calibration error,
    which is over the answered clips.

    Args:
        table: what :func:`prediction_table` returns.
        resamples: bootstrap samples of the intervals.
        seed: seed of the bootstrap.
    """
    references = table["label"].map(EMOTIONS.index).to_numpy()
    predictions = np.asarray(
        [
            metrics.NO_ANSWER if label is None else EMOTIONS.index(label)
            for label in table["predicted"].astype(object).where(table["predicted"].notna(), None)
        ]
    )
    speakers = table["speaker_id"].to_numpy(dtype=str)
    answered = predictions != metrics.NO_ANSWER
    figures = {"wa": metrics.wa, "ua": metrics.ua, "ua_plus_wa": metrics.ua_plus_wa}
    recall = metrics.per_class_recall(references, predictions, num_classes=len(EMOTIONS))
    confusion = metrics.confusion_matrix(references, predictions, num_classes=len(EMOTIONS))

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
            references[answered], table.loc[answered, PROBABILITIES].to_numpy()
        )
        if answered.any()
        else None,
        "recall": dict(zip(EMOTIONS, recall, strict=True)),
        "bootstrap": {
            "level": metrics.LEVEL,
            "resamples": resamples,
            "seed": seed,
            "over_speakers": intervals(speakers),
            "over_clips": intervals(None),
        },
        "confusion": {"labels": list(EMOTIONS), "rows_true_columns_predicted": confusion.tolist()},
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

"""The scores of speech emotion recognition as one `evaluate` metric.

``evaluate.load("metrics/ser")`` loads this file from the folder, without network. It needs only
scikit-learn; a test compares it with ``speech_emotion.metrics``.
"""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score

_DESCRIPTION = """\
Weighted accuracy (wa: the share of correct clips), unweighted accuracy (ua: the mean
recall of the classes that occur), their sum (ua_plus_wa) and macro-F1 (macro_f1), all as
fractions of one.
"""

_INPUTS_DESCRIPTION = """\
Args:
    predictions: predicted class ids; -1 for a clip without a prediction, which is an error.
    references: true class ids.
Returns:
    dict with wa, ua, ua_plus_wa and macro_f1.
"""


class SpeechEmotionScores(evaluate.Metric):
    """WA, UA, UA+WA and macro-F1 of predicted emotions (paper, section IV)."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}
            ),
        )

    def _compute(self, *, predictions: list[int], references: list[int]) -> dict[str, float]:
        return scores(references, predictions)


def scores(references: list[int], predictions: list[int]) -> dict[str, float]:
    """Every score of a list of class ids; a prediction of -1 is an error of its class.

    Raises:
        ValueError: lists of different lengths, or empty ones.
    """
    classes = np.unique(references)
    over_classes = {"labels": classes, "average": "macro", "zero_division": 0.0}
    wa = accuracy_score(references, predictions)
    ua = recall_score(references, predictions, **over_classes)
    return {
        "wa": float(wa),
        "ua": float(ua),
        "ua_plus_wa": float(ua + wa),
        "macro_f1": float(f1_score(references, predictions, **over_classes)),
    }

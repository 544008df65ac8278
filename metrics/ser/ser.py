"""The scores of speech emotion recognition as one `evaluate` metric.

``evaluate.load("metrics/ser")`` loads this file from the folder, with no network; it needs
only its neighbour ``classification.py``, which `evaluate` copies along.
"""

import datasets
import evaluate

from .classification import macro_f1, ua, ua_plus_wa, wa

_DESCRIPTION = """\
Weighted accuracy (wa: the share of clips that are right), unweighted accuracy (ua: the mean
recall of the classes that occur), their sum (ua_plus_wa) and macro-F1 (macro_f1), all as
fractions of one.
"""

_INPUTS_DESCRIPTION = """\
Args:
    predictions: predicted class ids; -1 for a clip without an answer, which is an error.
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
        return {
            "wa": wa(references, predictions),
            "ua": ua(references, predictions),
            "ua_plus_wa": ua_plus_wa(references, predictions),
            "macro_f1": macro_f1(references, predictions),
        }

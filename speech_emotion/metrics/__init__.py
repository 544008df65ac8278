"""Scores of speech emotion recognition as pure functions; all figures are fractions."""

from speech_emotion.metrics.calibration import (
    accuracy_at_coverage,
    expected_calibration_error,
    reliability_bins,
)
from speech_emotion.metrics.classification import (
    NO_ANSWER,
    ccc,
    confusion_matrix,
    macro_f1,
    per_class_recall,
    ua,
    ua_plus_wa,
    wa,
)
from speech_emotion.metrics.comparison import McNemar, PairedBootstrap, mcnemar, paired_bootstrap
from speech_emotion.metrics.diarisation import Errors, diarisation_errors, emotion_errors
from speech_emotion.metrics.resampling import (
    LEVEL,
    RESAMPLES,
    SEED,
    Interval,
    bootstrap_interval,
    gap_interval,
)

__all__ = [
    "LEVEL",
    "NO_ANSWER",
    "RESAMPLES",
    "SEED",
    "Errors",
    "Interval",
    "McNemar",
    "PairedBootstrap",
    "accuracy_at_coverage",
    "bootstrap_interval",
    "ccc",
    "confusion_matrix",
    "diarisation_errors",
    "emotion_errors",
    "expected_calibration_error",
    "gap_interval",
    "macro_f1",
    "mcnemar",
    "paired_bootstrap",
    "per_class_recall",
    "reliability_bins",
    "ua",
    "ua_plus_wa",
    "wa",
]

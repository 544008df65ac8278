"""Scores of speech emotion recognition as pure functions; all figures are fractions."""

from metrics.calibration import (
    accuracy_at_coverage,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from metrics.comparison import McNemar, PairedBootstrap, mcnemar, paired_bootstrap
from metrics.resampling import LEVEL, RESAMPLES, SEED, Interval, bootstrap_interval, gap_interval
from metrics.ser.classification import (
    NO_ANSWER,
    confusion_matrix,
    macro_f1,
    per_class_recall,
    ua,
    ua_plus_wa,
    wa,
)

__all__ = [
    "LEVEL",
    "NO_ANSWER",
    "RESAMPLES",
    "SEED",
    "Interval",
    "McNemar",
    "PairedBootstrap",
    "accuracy_at_coverage",
    "bootstrap_interval",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
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

"""The temperature of a model that is trained on all its clips, from a cross-validation.

Without a validation split no clip is left on which a temperature could be fitted. The models of a
cross-validation have predicted every clip without its speaker in their training data.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from hub_model.calibration import fit_temperature
from speech_emotion.metrics import expected_calibration_error
from speech_emotion.training.parsing import ConfigError

PREDICTIONS_FILE = "predictions.parquet"
"""Predictions of all folds, in the folder of a cross-validation."""


def held_out_temperature(folder: str, *, speakers: list[str], labels: list[str]) -> dict[str, Any]:
    """Fit a temperature to the predictions of a cross-validation.

    It is kept only if it lowers the expected calibration error (ECE) on speakers that it was not
    fitted to: for each fold a temperature is fitted to the other folds. Otherwise it stays at 1.
    Only audio-only predictions are used.

    Args:
        folder: of a cross-validation, as ``train --folds`` writes it.
        speakers: of the training data; clips of other speakers are left out.
        labels: of the model.

    Returns:
        ``temperature``, ``fitted`` (what it would be), ``from``, ``clips``, ``speakers``,
        ``ece_without`` and ``ece_with``, over the folds that were left out.

    Raises:
        ConfigError: there is no such cross-validation, of these labels, with clips of these
            speakers in two folds.
    """
    path = Path(folder) / PREDICTIONS_FILE
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"temperature_from: {folder} is no finished cross-validation") from error
    columns = [f"logit_{name}" for name in labels]
    if set(columns) != {name for name in table.columns if name.startswith("logit_")}:
        raise ConfigError(f"temperature_from: the models of {folder} have other labels")
    known = table["speaker_id"].isin(speakers) & table["predicted"].notna()
    table = table[known & (table["text"] == "none")]
    folds = table["fold"].to_numpy()
    if len(set(folds)) < 2:
        raise ConfigError(f"temperature_from: {folder} has no two folds of these speakers")
    truth = table["label"].map({name: i for i, name in enumerate(labels)}).to_numpy(dtype=int)
    logits = table[columns].to_numpy(dtype=float)
    scaled = np.empty_like(logits)
    for fold in np.unique(folds):
        tested = folds == fold
        scaled[tested] = logits[tested] / fit_temperature(truth[~tested], logits[~tested])
    without, with_ = (
        expected_calibration_error(truth, softmax(values, axis=1)) for values in (logits, scaled)
    )
    fitted = fit_temperature(truth, logits)
    return {
        "temperature": fitted if with_ < without else 1.0,
        "fitted": fitted,
        "from": Path(folder).name,
        "clips": len(table),
        "speakers": int(table["speaker_id"].nunique()),
        "ece_without": without,
        "ece_with": with_,
    }

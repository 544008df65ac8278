"""The baselines of the paper's Tables 6 and 8: classical classifiers, MobileNetV2, a 1-D CNN.

``python train.py --config configs/<name>.yaml`` trains a baseline. Its folder holds
``config.json``, the weights (skops, the library's own text format or safetensors) and
``results.json``. :func:`load` loads the folder of any family; see :class:`Baseline`.
"""

import importlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hub_model.labels import EMOTIONS

FAMILIES = {
    "classical": "speech_emotion.baselines.classical",
    "mobilenet_v2": "speech_emotion.baselines.spectrogram_cnn",
    "cnn1d": "speech_emotion.baselines.cnn1d",
}
"""Family of a baseline -> the module that builds and loads it."""

CONFIG_FILE = "config.json"
RESULTS_FILE = "results.json"


class BaselineError(ValueError):
    """A baseline that cannot be trained or loaded. The message is one line."""


class Baseline(Protocol):
    """A trained baseline.

    Attributes:
        config: its config.json; ``config["training"]`` is its training record, with the keys of
            the main model's record (data, protocol, speakers, fingerprint, seed, ...).
    """

    config: dict[str, Any]

    def predict_proba(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the seven emotions.

        Args:
            waveforms: each float32 (num_samples,), mono, 16 kHz, cleaned.

        Returns:
            float64 (num_waveforms, 7) in label-id order, each row with the sum 1. An emotion
            without training clips has the probability 0.

        Raises:
            AudioError: a waveform is too short for this baseline; the message gives its index.
        """


def load(folder: str | Path) -> Baseline:
    """Load the folder of a trained baseline.

    Raises:
        BaselineError: no baseline there, damaged, or made with features of another version.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise BaselineError(
            f"{folder}: no trained baseline ({CONFIG_FILE}: {error.strerror})"
        ) from error
    except ValueError as error:
        raise BaselineError(f"{folder}: {CONFIG_FILE} is not JSON") from error
    family = config.get("family") if isinstance(config, dict) else None
    if family not in FAMILIES:
        raise BaselineError(f"{folder}: its family is {family!r}, known are {', '.join(FAMILIES)}")
    if config.get("labels") != list(EMOTIONS):
        raise BaselineError(f"{folder}: its labels are {config.get('labels')}")
    try:
        return importlib.import_module(FAMILIES[family]).load(folder, config)
    except BaselineError:
        raise
    except Exception as error:  # skops, xgboost, lightgbm and safetensors each raise their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BaselineError(f"{folder}: cannot be loaded: {reason[:200]}") from error

"""A small corpus of tones in both protocols, and a trainer of baselines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hub_model.labels import EMOTIONS
from speech_emotion.training.baseline_config import CONFIGS
from speech_emotion.training.baselines import train_baseline
from tests.helpers.baseline_clips import write_baseline_corpus
from tests.helpers.toy_corpus import tone
from tests.helpers.training_fixtures import (  # noqa: F401
    datasets_cache,
    fresh_accelerate,
    reset_accelerate,
)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_baseline_corpus(tmp_path_factory.mktemp("baselines") / "corpus")


@pytest.fixture
def train(corpus: Path, tmp_path: Path) -> Callable[..., tuple[Path, dict]]:
    """Train a baseline: ``train(family, **settings)`` returns its folder and its results."""

    def train(family: str, name: str = "baseline", **settings: Any) -> tuple[Path, dict]:
        reset_accelerate()
        out = tmp_path / name
        defaults = {"data": str(corpus), "output_dir": str(out), "cache": str(tmp_path / "cache")}
        config = CONFIGS[family](**{"family": family, **defaults, **settings})
        return out, train_baseline(config)

    return train


@pytest.fixture
def waveforms() -> list[np.ndarray]:
    """One clip of each emotion by a speaker that nobody trained on."""
    return [tone(150 * 1.5**label + 9, seconds=1.4, seed=9) for label in range(len(EMOTIONS))]

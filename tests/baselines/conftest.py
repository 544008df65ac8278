"""A small corpus of tones in both protocols, and a clean Accelerate for every test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState

from hub_model.labels import EMOTIONS
from speech_emotion.baselines.settings import CONFIGS
from speech_emotion.training.baselines import train_row
from tests.helpers.baseline_clips import rows
from tests.helpers.toy_corpus import tone, write_corpus


@pytest.fixture(scope="session", autouse=True)
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what ``datasets`` caches out of the home folder, and the hub out of reach."""
    datasets.disable_progress_bars()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield
    datasets.enable_progress_bars()


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state for the life of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers in train, two in validation and in test, seven emotions each, clips of 1.3 s."""
    splits = {"train": range(6), "validation": range(6, 8), "test": range(8, 10)}
    made = {name: rows(speakers) for name, speakers in splits.items()}
    return write_corpus(tmp_path_factory.mktemp("rows") / "corpus", **made)


@pytest.fixture
def train(corpus: Path, tmp_path: Path) -> Callable[..., tuple[Path, dict]]:
    """Train a row: ``train(family, **settings)`` returns its folder and its results."""

    def train(family: str, name: str = "row", **settings: Any) -> tuple[Path, dict]:
        AcceleratorState._reset_state(reset_partial_state=True)
        out = tmp_path / name
        defaults = {"data": str(corpus), "out": str(out), "cache": str(tmp_path / "cache")}
        config = CONFIGS[family](**{"family": family, **defaults, **settings})
        return out, train_row(config)

    return train


@pytest.fixture
def waveforms() -> list[np.ndarray]:
    """One clip of each emotion by a speaker that nobody trained on."""
    return [tone(150 * 1.5**label + 9, seconds=1.4, seed=9) for label in range(len(EMOTIONS))]

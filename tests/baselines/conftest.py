"""A small corpus of tones in both protocols, and a clean Accelerate for every test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState

from baselines.settings import CONFIGS
from baselines.train import train_row
from corpus_builder.labels import EMOTIONS
from tests.training.toy import flac, tone, write_corpus


def rows(speakers: range, *, labels: range = range(7), seconds: float = 1.3) -> list[dict]:
    """One clip for each speaker and emotion; the emotion sets the pitch, the speaker the gender."""
    made = []
    for speaker in speakers:
        for label in labels:
            name = f"made-{speaker:02d}-{label}"
            waveform = tone(150 * 1.5**label + speaker, seconds=seconds, seed=speaker)
            made.append(
                {
                    "audio": {"bytes": flac(waveform), "path": f"{name}.flac"},
                    "label": label,
                    "corpus": "ravdess",
                    "speaker_id": f"made-{speaker:02d}",
                    "gender": ("female", "male")[speaker % 2],
                    "duration": seconds,
                    "utterance_id": name,
                    "source_id": name,
                    "audio_hash": name,
                }
            )
    return made


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

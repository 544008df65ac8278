"""The corpus of tones, and a run that nothing interrupted."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import transformers
import yaml
from accelerate.state import AcceleratorState, GradientState

import train
from speech_emotion.training.config import TrainConfig
from tests.helpers.toy_corpus import SETTINGS, write_corpus


def _reset() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what ``datasets`` caches out of the home folder, and the libraries quiet."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        yield folder
    transformers.utils.logging.enable_progress_bar()
    datasets.enable_progress_bars()


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state for the life of a process."""
    _reset()
    yield
    _reset()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for ids of the Hub in its cache only; without a network each try takes long."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("toy") / "corpus")


@pytest.fixture
def run(corpus: Path, tmp_path: Path) -> Callable[..., list[dict]]:
    """Train in this process: ``run(name, **settings)`` writes ``tmp_path / name``."""

    def run(name: str, **settings: Any) -> list[dict]:
        _reset()
        settings = {**SETTINGS, "data": str(corpus), "out": str(tmp_path / name), **settings}
        return train.training_function(TrainConfig(**settings))

    return run


@pytest.fixture(scope="session")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The folder and the history of a run that nothing interrupted; do not change it."""
    _reset()
    out = tmp_path_factory.mktemp("whole") / "model"
    history = train.training_function(TrainConfig(**SETTINGS, data=str(corpus), out=str(out)))
    return out, history


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., str]:
    """Write a YAML file with ``SETTINGS`` and changes to them; return its name."""

    def write(**changes: Any) -> str:
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({**SETTINGS, **changes}))
        return str(path)

    return write


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Run a command line that must fail with one line; return that line."""

    def refusal(main: Callable[[list[str]], int], arguments: list[str]) -> str:
        assert main(arguments) == 2
        # Progress bars are no messages.
        bar = re.compile(r"\d+/\d+ \[|%\|")
        written = re.split(r"[\r\n]+", capsys.readouterr().err)
        lines = [line for line in written if line.strip() and not bar.search(line)]
        assert len(lines) == 1, lines
        return lines[0]

    return refusal

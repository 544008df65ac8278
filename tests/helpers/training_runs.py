"""Runs of the training programs on the corpus of tones; a conftest.py imports what it needs."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import load_file

from speech_emotion.training import run as program
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.multimodal import EmotionTask
from tests.helpers.refusals import PROGRESS_BAR
from tests.helpers.toy_corpus import SETTINGS, write_corpus
from tests.helpers.training_fixtures import reset_accelerate

ROOT = Path(__file__).resolve().parents[2]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    assert first.keys() == second.keys()
    return all(torch.equal(first[key], second[key]) for key in first)


def state(folder: Path, epoch: int) -> Path:
    """The state that was saved after an epoch, counted from 1."""
    return Path(f"{folder}.state") / "checkpoints" / f"checkpoint_{epoch - 1}"


def environment() -> dict[str, str]:
    """Variables of a training program in a process of its own."""
    return {
        **os.environ,
        "HF_DATASETS_CACHE": str(datasets.config.HF_DATASETS_CACHE),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def scored(scores: list[float]) -> Iterator[None]:
    """Let the real evaluation run, and replace its UA + WA by the given scores."""
    evaluate, left = EmotionTask.evaluate, iter(scores)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            EmotionTask,
            "evaluate",
            lambda *given: evaluate(*given) | {"ua": next(left), "wa": 0.0},
        )
        yield


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for ids of the Hub in its cache only; without a network each try takes long."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("toy") / "corpus")


@pytest.fixture
def run(corpus: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Train in this process: ``run(name, **settings)`` writes ``tmp_path / name``."""

    def run(name: str, **settings: Any) -> list[dict[str, Any]]:
        reset_accelerate()
        places = {"data": str(corpus), "output_dir": f"{tmp_path}/{name}"}
        return program.train(TrainConfig(**{**SETTINGS, **places, **settings}))

    return run


@pytest.fixture(scope="session")
def whole(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """The folder and the history of a run that nothing interrupted; do not change it."""
    reset_accelerate()
    out = tmp_path_factory.mktemp("whole") / "model"
    return out, program.train(TrainConfig(**SETTINGS, data=str(corpus), output_dir=str(out)))


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
    """Run a command line that must fail with one line; return that line.

    Unlike :mod:`tests.helpers.refusals`, epochs before the failure may be printed.
    """

    def refusal(main: Callable[[list[str]], int], arguments: list[str]) -> str:
        capsys.readouterr()
        assert main(arguments) == 2
        written = re.split(r"[\r\n]+", capsys.readouterr().err)
        lines = [line for line in written if line.strip() and not PROGRESS_BAR.search(line)]
        assert len(lines) == 1, lines
        return lines[0]

    return refusal

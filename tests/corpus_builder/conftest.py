"""The made corpora of ``tests.helpers.made_ravdess``, and what was built from them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from corpus_builder.__main__ import main
from tests.helpers.made_ravdess import babble, ravdess_names, write_ravdess

REAL_RAVDESS = Path(__file__).resolve().parents[3] / "shared" / "data" / "RAVDESS"


@pytest.fixture(scope="session")
def names() -> Callable[..., list[str]]:
    return ravdess_names


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_ravdess


@pytest.fixture(scope="session")
def sound() -> Callable[..., np.ndarray]:
    return babble


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six actors, eight emotions, two statements: 96 clips, 84 of them not neutral."""
    return write_ravdess(tmp_path_factory.mktemp("raw"), ravdess_names(range(1, 7)))


@pytest.fixture(scope="session")
def corpus(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus built from ``raw`` with default settings in this process; do not change it."""
    out = tmp_path_factory.mktemp("built") / "corpus"
    arguments = ["build", "--source", f"ravdess={raw}", "--out", str(out), "--workers", "1"]
    assert main(arguments) == 0
    return out


@pytest.fixture(scope="session")
def real_ravdess() -> Path:
    if not REAL_RAVDESS.is_dir():
        pytest.skip("the real RAVDESS clips are not here")
    return REAL_RAVDESS

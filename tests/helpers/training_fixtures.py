"""Fixtures for tests that train; a conftest.py imports those that it needs."""

from collections.abc import Iterator

import datasets
import pytest
import transformers
from accelerate.state import AcceleratorState, GradientState


def reset_accelerate() -> None:
    """Forget the state that Accelerate keeps for the life of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Start and end every test without a state of Accelerate."""
    reset_accelerate()
    yield
    reset_accelerate()


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the cache of ``datasets`` out of the home folder, and the libraries quiet."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield
    transformers.utils.logging.enable_progress_bar()
    datasets.enable_progress_bars()

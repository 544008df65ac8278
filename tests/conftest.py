"""Fixtures shared by all tests."""

import os

# Sums on several threads differ in their last bit from run to run, and the tests compare bits.
# numba, which openai-whisper uses, sets the number of threads of torch as well.
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
# huggingface_hub reads these once, when it is imported. The loopback hub speaks plain LFS only, and
# must be reached whatever the user has exported.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_OFFLINE"] = "0"

from collections.abc import Iterator

import pytest

from tests.helpers.loopback_hub import LoopbackHub

pytest_plugins = ["tests.helpers.model_fixtures"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are cores: about a quarter of the time is waiting."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run modules with slow tests first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """An empty Hub of its own for every test, see ``LoopbackHub``."""
    hub = LoopbackHub()
    yield hub
    hub.close()

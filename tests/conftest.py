"""Fixtures shared by all tests."""

import os

# Sums on several threads differ in their last bit from run to run, and the tests compare bits.
os.environ["OMP_NUM_THREADS"] = "1"
# huggingface_hub reads this once, when it is imported: the loopback hub speaks plain LFS only.
os.environ["HF_HUB_DISABLE_XET"] = "1"

from collections.abc import Iterator

import pytest

from tests.helpers.loopback_hub import LoopbackHub

pytest_plugins = ["tests.helpers.model_fixtures"]


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """An empty Hub of its own for every test, see ``LoopbackHub``."""
    hub = LoopbackHub()
    yield hub
    hub.close()

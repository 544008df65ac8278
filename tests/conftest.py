"""Fixtures shared by all tests."""

import os

# Sums on several threads differ in their last bit from run to run, and the tests compare bits.
os.environ["OMP_NUM_THREADS"] = "1"
# huggingface_hub reads these once, when it is imported. The loopback hub speaks plain LFS only, and
# must be reached whatever the user has exported.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_OFFLINE"] = "0"

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

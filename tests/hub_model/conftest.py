"""Nothing here asks the Hub for anything."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def offline(no_hub: None) -> None:
    """See :func:`tests.helpers.model_fixtures.no_hub`."""

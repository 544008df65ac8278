"""Nothing here asks the Hub for anything."""

import pytest

from tests.helpers.predict_command import folder, predict, talk  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def offline(no_hub: None) -> None:
    """See :func:`tests.helpers.model_fixtures.no_hub`."""

"""The corpus of tones, and runs that start from what a recipe trained."""

from tests.helpers.training_fixtures import datasets_cache, fresh_accelerate  # noqa: F401
from tests.helpers.training_runs import (  # noqa: F401
    corpus,
    offline,
    refusal,
    run,
    write_config,
)

"""The corpus of tones, and a run that nothing interrupted."""

from tests.helpers.training_fixtures import datasets_cache, fresh_accelerate  # noqa: F401
from tests.helpers.training_runs import (  # noqa: F401
    corpus,
    offline,
    refusal,
    run,
    whole,
    write_config,
)

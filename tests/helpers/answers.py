"""Load a pipeline as a user does, and compare what it answers."""

from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline


def load(folder: Path, **options: Any) -> Any:
    """The pipeline of a model folder."""
    return pipeline("audio-classification", model=str(folder), trust_remote_code=True, **options)


def same(found: list[dict], expected: list[dict], atol: float = 1e-4) -> None:
    """Both rows hold the same labels with the same probabilities."""
    assert isinstance(found, list), found
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=atol)


def same_predictions(found: list[dict], expected: list[dict]) -> None:
    """Both hold the same clips with the same ``scores``, by label, to the last float digits.

    Two processes may sum in another order.
    """
    for one, other in zip(found, expected, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)
        assert one | {"scores": None} == other | {"scores": None}

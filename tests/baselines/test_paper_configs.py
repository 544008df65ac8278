"""Constants of the paper in configs/ and in the defaults of the baselines."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from speech_emotion.baselines.classical import CLASSIFIERS
from speech_emotion.training.baseline_config import CONFIGS as FAMILIES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def config(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))


def settings(name: str) -> dict[str, Any]:
    """Every setting of a baseline: its config over the defaults of its family."""
    given = config(name)
    return {field.name: field.default for field in fields(FAMILIES[given["family"]])} | given


def test_the_grid_of_the_search_on_knn():
    """The search that "did not improve further" (paper, section III-B)."""
    assert config("knn_grid")["grid"] == {
        "n_neighbors": [1, 3, 5, 7, 9, 11, 15, 21],
        "weights": ["uniform", "distance"],
        "p": [1, 2],
    }
    assert settings("knn_grid")["folds"] == 5


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_classifiers_of_table_6_have_the_defaults_of_their_libraries(name):
    given = config(name)
    assert given["classifier"] == name and given["seed"] == 0
    assert "params" not in given and "grid" not in given


@pytest.mark.parametrize(
    ("name", "block_shift", "gender"),
    [
        ("mobilenet_v2_overlap_gender", 0.01, True),
        ("mobilenet_v2_overlap", 0.01, False),
        ("mobilenet_v2_gender", 1.0, True),
        ("mobilenet_v2", 1.0, False),
    ],
)
def test_the_four_experiments_on_mobilenet(name, block_shift, gender):
    """Section III-C.1: blocks every 10 ms or one after another; with gender or without."""
    found = settings(name)
    assert (found["block_shift"], found["gender"]) == (block_shift, gender)
    assert found["pretrained"] == "google/mobilenet_v2_1.0_224"
    assert found["clips_share"] == (0.05 if block_shift < 1 else 1.0)


def test_the_settings_of_the_cnn():
    """Table 5 and section III-C.2: ten epochs, dropout 0.6, L1 and L2 of the kernels."""
    found = settings("cnn1d")
    assert found["num_train_epochs"] == 10 and found["seconds"] == 3.0
    assert (found["l1"], found["l2"], found["dropout"]) == (1e-6, 1e-5, 0.6)
    assert found["learning_rate"] == 5e-4

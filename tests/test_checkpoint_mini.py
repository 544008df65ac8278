"""The checkpoint that ships: complete, small, in step with the code, honest in its card."""

import filecmp
import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from safetensors import safe_open

from hub_model.labels import EMOTIONS

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / "checkpoints" / "mini"


@pytest.fixture(scope="module")
def config() -> dict:
    return json.loads((MINI / "config.json").read_text())


def test_its_code_is_the_code_of_hub_model():
    shipped = {path.name for path in MINI.glob("*.py")}
    assert shipped == {path.name for path in (ROOT / "hub_model").glob("*.py")} - {"__init__.py"}
    for name in shipped:
        assert filecmp.cmp(MINI / name, ROOT / "hub_model" / name, shallow=False), (
            f"{name} differs from hub_model: run make checkpoint-code"
        )


def test_it_is_small():
    assert sum(path.stat().st_size for path in MINI.iterdir()) < 20 * 1024 * 1024


def test_weights_are_half_precision_safetensors_only():
    with safe_open(MINI / "model.safetensors", framework="pt") as weights:
        kinds = {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    # Rounded to half precision, these would change the results.
    exact = {"feature_mean", "feature_std"}
    assert {name for name, kind in kinds.items() if kind == "F32"} == exact
    assert set(kinds.values()) == {"F16", "F32"}
    assert not list(MINI.glob("*.bin")) + list(MINI.glob("*.pkl")) + list(MINI.glob("*.pt"))


def test_labels_are_in_order(config):
    assert [config["id2label"][str(i)] for i in range(7)] == list(EMOTIONS)


def test_it_says_what_it_was_trained_on(config):
    training = config["training"]
    assert training["protocol"] == "speaker_disjoint"
    assert training["licences"]["ravdess"]
    assert training["fingerprint"]
    assert len(training["speakers"]) >= 10
    assert {"seed", "commit", "versions"} <= set(training)


def test_its_card_has_measured_results(config):
    card = ModelCard.load(MINI / "README.md")
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.pipeline_tag == "audio-classification"
    results = json.loads((ROOT / "results" / "ravdess.json").read_text())
    tested = {
        name
        for row in results["rows"]
        if row["kind"] == "model" and row["protocol"] == "speaker_disjoint"
        for name in row["scores"]["per_speaker"]
    }
    assert tested
    assert not tested & set(config["training"]["speakers"])
    assert "Not measured yet" not in card.text
    errors = {entry.metric_value for entry in card.data.eval_results if entry.metric_name == "ECE"}
    assert errors and "| `checkpoints/mini` | as shipped |" in card.text

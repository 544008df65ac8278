"""A training record and results files, as far as a model card reads them."""

from typing import Any

TRAINING = {
    "data": ["ravdess", "crema_d"],
    "licences": {"ravdess": "CC BY-NC-SA 4.0"},
    "protocol": "speaker_disjoint",
}


def made_results(
    weights: str, protocol: str = "speaker_disjoint", **scores: float
) -> dict[str, Any]:
    """A results file of one model and of chance.

    Args:
        weights: hash of the model's weights.
        protocol: of the model.
        scores: by the names of a results file.
    """
    scores |= {"clips": 223, "speakers": 4}
    overlap = {"speakers": ["ravdess-01"] * 3, "clips": 9}
    row = {"kind": "model", "weights_sha256": weights, "protocol": protocol, "overlap": overlap}
    chance = {"kind": "chance", "protocol": None}
    data = {"split": "test"}
    return {"benchmark": "ravdess", "data": data, "rows": [row | {"scores": scores}, chance]}

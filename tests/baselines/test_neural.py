"""The training loop of the neural rows."""

import json

import numpy as np
import pytest

from speech_emotion.baselines.neural import clip_probabilities

TINY = {
    "seconds": 0.3,
    "dense": [8, 8],
    "limit": 12,
    "per_device_train_batch_size": 6,
    "allow_missing": True,
}


def test_a_clips_answer_is_the_mean_of_its_blocks():
    logits = np.log([[0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05], [1 / 7] * 7, [1 / 7] * 7])
    found = clip_probabilities(logits, np.array([0, 0, 1]))
    np.testing.assert_allclose(found[0, 0], (0.7 + 1 / 7) / 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_classes_of_one_emotion_are_summed():
    chances = np.random.default_rng(0).dirichlet(np.ones(14), size=4)
    found = clip_probabilities(np.log(chances) + 3, np.arange(4))
    np.testing.assert_allclose(found, chances[:, 0::2] + chances[:, 1::2])


def test_a_resumed_run_goes_on_as_if_nothing_had_stopped_it(train):
    _, whole = train("cnn1d", "whole", num_train_epochs=3, **TINY)
    train("cnn1d", "parts", num_train_epochs=1, **TINY)
    _, parts = train("cnn1d", "parts", num_train_epochs=3, resume=True, **TINY)

    def figures(results: dict) -> list[dict]:
        return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in results["history"]]

    assert len(figures(parts)) == 3 and figures(parts) == figures(whole)


def test_the_same_seed_gives_the_same_weights(train):
    first, _ = train("cnn1d", "first", num_train_epochs=1, **TINY)
    second, _ = train("cnn1d", "second", num_train_epochs=1, **TINY)
    third, _ = train("cnn1d", "third", num_train_epochs=1, seed=1, **TINY)
    weights = [(f / "model.safetensors").read_bytes() for f in (first, second, third)]
    assert weights[0] == weights[1] != weights[2]


def test_it_stops_when_validation_stays_as_it_is(train):
    # With a rate this small no answer changes, so the first epoch stays the best.
    folder, results = train("cnn1d", num_train_epochs=9, patience=2, learning_rate=1e-9, **TINY)
    assert len(results["history"]) == 3 and results["best_epoch"] == 1
    assert json.loads((folder / "results.json").read_text()) == results


def test_a_loss_that_is_no_number_is_one_line(train):
    with pytest.raises(RuntimeError, match="the loss is") as error:
        train("cnn1d", num_train_epochs=3, learning_rate=1e30, **TINY)
    assert "\n" not in str(error.value)

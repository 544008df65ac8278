"""Renamed, merged and left-out labels; abstention; shares of the modalities."""

import numpy as np
import pytest

from hub_model.labels import (
    EMOTIONS,
    HIGHEST,
    LABEL_SETS,
    NEUTRAL,
    Labels,
    contributions,
    decided,
    ranked,
)
from hub_model.scoring import padded_batches

SCORES = np.array([0.1, 0.2, 0.05, 0.15, 0.3, 0.12, 0.08])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, dict(zip(EMOTIONS, SCORES, strict=True))),
        (["happy", "sad"], {"happy": 0.3 / 0.42, "sad": 0.12 / 0.42}),
        (
            {"happy": "positive", "surprised": "positive", "calm": None},
            {
                "angry": 0.1 / 0.8,
                "disgust": 0.05 / 0.8,
                "fearful": 0.15 / 0.8,
                "positive": 0.38 / 0.8,
                "sad": 0.12 / 0.8,
            },
        ),
        (
            "four_class",
            {"angry": 0.1 / 0.72, "neutral": 0.2 / 0.72, "happy": 0.3 / 0.72, "sad": 0.12 / 0.72},
        ),
        (
            "valence",
            {"negative": 0.42 / 0.92, "neutral": 0.2 / 0.92, "positive": 0.3 / 0.92},
        ),
        ("arousal", {"high": 0.63 / 0.95, "low": 0.32 / 0.95}),
        ("seven_class", dict(zip(EMOTIONS, SCORES, strict=True))),
    ],
)
def test_labels(labels, expected):
    assert Labels(EMOTIONS, labels).named(SCORES) == pytest.approx(expected)


def test_the_ready_made_sets_mention_every_emotion_and_neutral():
    assert all(set(mapping) == {*EMOTIONS, "neutral"} for mapping in LABEL_SETS.values())


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("seven_class", dict(zip(EMOTIONS, SCORES, strict=True))),
        (
            "four_class",
            {"angry": 0.05 / 0.86, "neutral": 0.6 / 0.86, "happy": 0.15 / 0.86, "sad": 0.06 / 0.86},
        ),
        ("valence", {"negative": 0.21 / 0.96, "neutral": 0.6 / 0.96, "positive": 0.15 / 0.96}),
        ("arousal", {"high": 0.315 / 0.975, "low": 0.66 / 0.975}),
    ],
)
def test_the_ready_made_sets_of_a_model_with_neutral(labels, expected):
    scores = [*SCORES / 2, 0.5]
    assert Labels([*EMOTIONS, "neutral"], labels).named(scores) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            "five_class",
            "no set is called 'five_class', there are seven_class, four_class, valence, arousal",
        ),
        (["happy", "bored"], "the model has no bored; it has angry, calm"),
        ({"bored": "sad"}, "the model has no bored"),
        ([], "none is left"),
        (dict.fromkeys(EMOTIONS), "none is left"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    with pytest.raises(ValueError, match=message):
        Labels(EMOTIONS, labels)


def test_a_set_needs_its_labels():
    with pytest.raises(ValueError, match="the model has no calm"):
        Labels(["angry", "happy", "sad"], "four_class")


def test_what_is_left_may_have_underflown():
    scores = Labels(EMOTIONS, ["happy", "sad"]).scores(np.eye(7)[0])
    np.testing.assert_allclose(scores, [0.5, 0.5])


def test_no_probability_is_higher_than_the_highest():
    labels = Labels(["a", "b", "c"], None)
    sure, unsure = [0.9999, 0.00009, 0.00001], [0.6, 0.3, 0.1]
    found = labels.scores(np.array([sure, unsure, [1.0, 0.0, 0.0]]))
    assert found[0] == pytest.approx([HIGHEST, 0.009, 0.001])
    assert found[1] == pytest.approx(unsure)
    assert found[2] == pytest.approx([HIGHEST, 0.005, 0.005])
    assert Labels(["a", "b"], ["a"]).scores(np.array([0.5, 0.5])) == pytest.approx([1.0])


def test_valence_and_arousal():
    labels = Labels([*EMOTIONS, NEUTRAL], None)
    one_hot = np.eye(8)
    angry, calm, neutral = (labels.dimensions(one_hot[i]) for i in (0, 1, 7))
    assert angry["valence"] < 0 < angry["arousal"]
    assert calm["arousal"] < 0 < calm["valence"]
    assert neutral == {"valence": 0.0, "arousal": 0.0, "source": "probabilities"}
    half = labels.dimensions((one_hot[0] + one_hot[1]) / 2)
    assert half["valence"] == pytest.approx((angry["valence"] + calm["valence"]) / 2)
    assert Labels(["frustrated", "angry"], None).dimensions(np.array([0.5, 0.5])) is None


def test_ranked_and_decided():
    scores = {"angry": 0.2, "sad": 0.7, "calm": 0.1}
    assert [row["label"] for row in ranked(scores)] == ["sad", "angry", "calm"]
    assert ranked(scores, 1) == [{"label": "sad", "score": 0.7}]
    assert decided(scores, None) == ("sad", 0.7, False)
    assert decided(scores, 0.7) == ("sad", 0.7, False)
    assert decided(scores, 0.71) == (None, 0.7, True)


def test_contributions():
    answers = {
        "fused": {"angry": 0.5, "sad": 0.5},
        "audio": {"angry": 0.9, "sad": 0.1},
        "text": {"angry": 0.4, "sad": 0.6},
    }
    found = contributions(answers)
    assert {name: found[name] for name in answers} == answers
    assert found["moved"] == pytest.approx({"audio": 0.1, "text": 0.4})
    del answers["text"]
    found = contributions({**answers, "audio": answers["fused"]})
    assert found["text"] is None and found["moved"] == {"audio": 1.0, "text": 0.0}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_batches_hold_every_clip_once_and_little_padding(seed, batch_size):
    sizes = np.random.default_rng(seed).integers(1600, 30 * 16_000, size=50).tolist()
    batches = padded_batches(sizes, batch_size=batch_size, padded_seconds=60)
    assert sorted(place for batch in batches for place in batch) == list(range(50))
    for batch in batches:
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= 60 * 16_000


def test_a_clip_longer_than_a_batch_goes_alone():
    assert padded_batches([10**7, 16_000, 10**7], batch_size=8, padded_seconds=60) == [
        [1],
        [0],
        [2],
    ]

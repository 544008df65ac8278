"""Bootstrap intervals: where they must lie, and that speakers are drawn whole."""

import math

import numpy as np
import pytest

from speech_emotion.metrics import bootstrap_interval, gap_interval, ua, wa
from speech_emotion.metrics.resampling import sampling_units


def answers(*, speakers: int, clips_each: int, seed: int = 0):
    """Speakers of very different accuracy, so that clips of one go together."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"speaker-{number}" for number in range(speakers)], clips_each)
    right = rng.random(len(names)) < np.repeat(np.linspace(0.2, 0.9, speakers), clips_each)
    references = rng.integers(0, 7, size=len(names))
    return references, np.where(right, references, (references + 1) % 7), names


def test_interval_over_clips_is_the_binomial_one():
    rng = np.random.default_rng(0)
    references = np.zeros(1000, dtype=int)
    predictions = (rng.random(1000) < 0.3).astype(int)
    low, high = bootstrap_interval(wa, references, predictions)
    accuracy = wa(references, predictions)
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / 1000)
    assert low == pytest.approx(accuracy - half, abs=0.005)
    assert high == pytest.approx(accuracy + half, abs=0.005)


def test_interval_over_speakers_equals_a_plain_loop():
    references, predictions, names = answers(speakers=8, clips_each=30)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        chosen = rng.choice(np.unique(names), size=8)
        clips = np.concatenate([np.flatnonzero(names == name) for name in chosen])
        drawn.append(ua(references[clips], predictions[clips]))
    low, high = bootstrap_interval(ua, references, predictions, speakers=names)
    assert low == pytest.approx(np.percentile(drawn, 2.5), abs=0.02)
    assert high == pytest.approx(np.percentile(drawn, 97.5), abs=0.02)


def test_interval_over_speakers_is_the_wider_one_when_speakers_differ():
    references, predictions, names = answers(speakers=8, clips_each=50)
    over_clips = bootstrap_interval(wa, references, predictions)
    over_speakers = bootstrap_interval(wa, references, predictions, speakers=names)
    assert over_speakers.high - over_speakers.low > 2 * (over_clips.high - over_clips.low)


def test_the_seed_decides_the_interval():
    references, predictions, names = answers(speakers=5, clips_each=20)
    first, again, other = (
        bootstrap_interval(wa, references, predictions, speakers=names, resamples=200, seed=seed)
        for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_one_speaker_gives_no_interval():
    assert bootstrap_interval(wa, [0, 1], [0, 0], speakers=["a", "a"]) is None


def test_units_hold_every_clip_once():
    _, _, names = answers(speakers=4, clips_each=3)
    shuffled = np.random.default_rng(0).permutation(names)
    units = sampling_units(len(shuffled), shuffled)
    assert sorted(np.concatenate(units)) == list(range(12))
    assert all(len(set(shuffled[unit])) == 1 for unit in units)


def test_speakers_must_match_the_clips():
    with pytest.raises(ValueError, match="2 speakers given for 3 clips"):
        bootstrap_interval(wa, [0, 1, 0], [0, 1, 1], speakers=["a", "b"])


def test_the_gap_of_two_groups_is_that_of_independent_speakers():
    rng = np.random.default_rng(0)
    names = np.repeat([f"speaker-{number}" for number in range(400)], 5)
    first = np.arange(names.size) < names.size // 2
    references = np.zeros(names.size, dtype=int)
    predictions = (rng.random(names.size) < np.where(first, 0.3, 0.5)).astype(int)
    low, high = gap_interval(
        wa, references, predictions, first=first, second=~first, speakers=names, resamples=500
    )
    gap = wa(references[first], predictions[first]) - wa(references[~first], predictions[~first])
    half = 1.96 * math.sqrt((0.3 * 0.7 + 0.5 * 0.5) / 1000)
    assert low == pytest.approx(gap - half, abs=0.015)
    assert high == pytest.approx(gap + half, abs=0.015)


def test_the_gap_of_rare_groups_never_lacks_one():
    low, high = gap_interval(
        wa, [0, 0, 0], [0, 1, 1], first=[1, 0, 0], second=[0, 1, 1], speakers=list("abc")
    )
    assert low == high == 1.0
    alone = {"first": [1], "second": [0], "speakers": ["a"]}
    assert gap_interval(wa, [0], [0], **alone) is None

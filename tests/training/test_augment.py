"""Poor recordings: what they do to a clip, and what they must leave alone."""

import random

import numpy as np
import pytest

from hub_model.audio import Cleaning, clean_audio
from speech_emotion.training.augment import Room, poor_recorder, training_changes
from speech_emotion.training.config import TrainConfig
from tests.helpers.toy_corpus import tone


@pytest.fixture
def clip():
    sound = tone(220, seconds=1.5)
    return (sound * np.hanning(sound.size)).astype(np.float32)


def made(change, clip, seed):
    random.seed(seed)
    np.random.seed(seed)
    return change(clip)


def in_place(chance):
    return poor_recorder(chance, in_place=True)


def test_a_recording_in_place_keeps_its_length_and_its_place(clip):
    for seed in range(30):
        changed = made(in_place(1.0), clip, seed)
        assert changed.size == clip.size and changed.dtype == np.float32
        assert np.isfinite(changed).all() and np.abs(changed).max() <= 1.0
    assert any(not np.array_equal(made(in_place(1.0), clip, seed), clip) for seed in range(5))


@pytest.mark.parametrize("make", [in_place, poor_recorder])
def test_chance_decides_how_many_clips_are_changed_and_the_seed_how(make, clip):
    assert np.array_equal(made(make(0.0), clip, 1), clip)
    assert np.array_equal(made(make(1.0), clip, 1), made(make(1.0), clip, 1))
    random.seed(0)
    kept = sum(make(0.5)(clip) is clip for _ in range(60))
    assert 15 < kept < 45


def test_a_poor_recording_is_cleaned_as_in_use(clip, monkeypatch):
    cleaned = []
    monkeypatch.setattr(
        "speech_emotion.training.augment.clean_audio",
        lambda wave, settings: cleaned.append((wave, settings)) or clean_audio(wave, settings),
    )
    cleaning = Cleaning(voiced=True)
    changed = made(poor_recorder(1.0, cleaning), clip, 3)
    ((recorded, settings),) = cleaned
    assert recorded.size > clip.size  # silence at its ends
    assert settings == cleaning
    assert np.array_equal(changed, clean_audio(recorded, cleaning))


def test_a_room_rings_on_after_the_sound_and_keeps_the_peak(clip):
    click = np.zeros(16_000, np.float32)
    click[1000] = 0.5
    heard = made(lambda wave: Room(p=1.0)(wave, 16_000), click, 0)
    assert np.abs(heard[:1000]).max() < 1e-6 and heard[1000] == pytest.approx(0.5, rel=1e-5)
    assert np.abs(heard[1001:1040]).max() < 1e-6  # nothing echoes from nearer than half a metre
    early, late = (np.square(heard[a:b]).mean() for a, b in ((1500, 2500), (3500, 4500)))
    assert early > 2 * late > 0


def test_a_run_that_changes_nothing_has_no_changes(clip):
    assert training_changes(TrainConfig(data="x", output_dir="y")) is None
    both = training_changes(TrainConfig(data="x", output_dir="y", augment=1.0, poor_recordings=1.0))
    assert made(both, clip, 0).size != clip.size

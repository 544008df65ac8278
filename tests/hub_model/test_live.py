"""A recording in chunks: the windows of the whole file, in little memory."""

import resource
from itertools import chain

import numpy as np
import pytest
import soxr

from hub_model.audio import SAMPLING_RATE
from tests.helpers.answers import load
from tests.helpers.sounds import noise, voice


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """7 s of a voice, 6 s of hiss, 5.3 s of another voice: 16 bits, 16 kHz."""
    parts = [voice(7), noise(6) * 0.1, voice(5.3, pitch=230, seed=1)]
    return np.round(np.concatenate(parts) * 16_000).astype(np.int16)


def in_chunks(live, samples: np.ndarray, size: int) -> list[dict]:
    """All windows of samples that come so many at a time."""
    parts = (live.add(samples[at : at + size]) for at in range(0, len(samples), size))
    return [*chain.from_iterable(parts), *live.finish()]


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (16_000, {"smoothing": 1, "dimensions": True}),
        (44_100, {"smoothing": 5, "hop_s": 1, "abstain_below": 0.2, "clean": False}),
    ],
    ids=["single", "averaged"],
)
def test_chunks_of_any_size_give_the_windows_of_the_whole(classifier, recording, rate, options):
    if rate != SAMPLING_RATE:
        recording = np.round(soxr.resample(recording.astype(float), 16_000, rate)).astype(np.int16)
    whole = {"array": recording, "sampling_rate": rate}
    expected = classifier(whole, return_segments=True, text="", batch_size=1, **options)["windows"]
    assert {"no speech"} < {window["label"] for window in expected}
    for size in (rate // 50, 333, 5 * rate):
        assert (
            in_chunks(classifier.live(sampling_rate=rate, **options), recording, size) == expected
        )


def test_samples_may_be_floats_and_have_channels(classifier, recording):
    expected = in_chunks(classifier.live(), recording[:80_000], 80_000)
    floats = recording[:80_000].astype(np.float64) / 32768
    for samples in (floats.astype(np.float32), np.stack([floats, floats], axis=1)):
        live = classifier.live()
        assert in_chunks(live, samples, 997) == expected and live.seconds == 5


def test_a_window_comes_with_its_last_sample(classifier, recording):
    live = classifier.live(window_s=2, hop_s=1)
    assert live.add(recording[: 2 * SAMPLING_RATE - 1]) == []
    [first] = live.add(recording[2 * SAMPLING_RATE - 1 :][:1])
    assert (first["start"], first["end"]) == (0, 2)
    assert live.add(recording[2 * SAMPLING_RATE :][: SAMPLING_RATE // 2]) == []
    [last] = live.finish()
    assert (last["start"], last["end"]) == (0.5, 2.5)
    assert live.finish() == []
    with pytest.raises(ValueError, match="has ended"):
        live.add(recording[:1])


def test_nothing_and_less_than_a_tenth_of_a_second(classifier):
    assert classifier.live().finish() == []
    live = classifier.live()
    assert live.add(np.zeros(0, np.float32)) == [] and live.add(np.zeros(800, np.int16)) == []
    assert [row["label"] for row in live.finish()] == ["no speech"]


def test_bad_samples_are_refused_and_the_recording_goes_on(classifier, recording):
    live, expected = (
        classifier.live(clean=False),
        in_chunks(classifier.live(clean=False), recording, 1600),
    )
    rows = live.add(recording[:1600])
    for bad in (np.array([0, np.nan]), np.zeros((2, 2, 2)), ["a"], [1, 2], np.array(["1"])):
        with pytest.raises(ValueError, match=r"^audio: [^\n]+$"):
            live.add(bad)
    assert [*rows, *in_chunks(live, recording[1600:], 1600)] == expected


def test_options(model_folder, classifier, recording):
    for wrong in ({"sampling_rate": 10}, {"window_s": 0.1}, {"smoothing": 2}, {"labels": "none"}):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            classifier.live(**wrong)
    with pytest.raises(TypeError, match="not an option of live: speakers"):
        classifier.live(speakers="channels")
    pairs = load(model_folder, labels="valence", top_k=1)
    [row] = in_chunks(pairs.live(clean=False), recording[:64_000], 8000)
    assert set(row["scores"]) == {"positive", "negative", "neutral"}


def test_memory_does_not_grow(classifier):
    speech = (voice(20) * 16_000).astype(np.int16)
    live, count = classifier.live(clean=False), 0
    for minute in range(9):
        if minute == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(3):
            for start in range(0, len(speech), SAMPLING_RATE // 50):
                count += len(live.add(speech[start : start + SAMPLING_RATE // 50]))
    assert count == 269
    # In KiB; the samples of six minutes would be 23,000.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000

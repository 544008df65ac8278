"""Windows over a stream, their moving average, and segments."""

import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE
from hub_model.inputs import Clip
from hub_model.timeline import (
    NO_SPEECH,
    Timeline,
    Window,
    segments_of,
    smoothed,
    table_of,
    transcript_of,
)


def blocks(samples: np.ndarray, size: int):
    return (samples[at : at + size] for at in range(0, samples.size, size))


@pytest.mark.parametrize("seconds", [0.3, 2.0, 4.0, 4.1, 5.9, 6.0, 13.77])
@pytest.mark.parametrize(("window", "hop"), [(4, 2), (4, 4), (4, 1.3), (2, 0.5)])
@pytest.mark.parametrize("block", [160_000, 7_000])
def test_windows_cover_the_recording(seconds, window, hop, block):
    samples = np.arange(round(seconds * SAMPLING_RATE), dtype=np.float32)
    size, step = window * SAMPLING_RATE, round(hop * SAMPLING_RATE)
    starts = [at for at in range(0, samples.size, step) if at + size <= samples.size]
    if not starts or starts[-1] + size < samples.size:
        starts.append(max(0, samples.size - size))
    found = list(Timeline(window_s=window, hop_s=hop).cut(blocks(samples, block)))
    assert [start for _, start, _ in found] == starts
    for _, start, waveform in found:
        np.testing.assert_array_equal(waveform, samples[start : start + size])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_s": 0.1}, "window_s must be 0.5 to 600"),
        ({"window_s": 2, "hop_s": 3}, "hop_s must be 0.1 to window_s"),
        ({"hop_s": 0}, "hop_s must be"),
        ({"smoothing": 2}, "smoothing must be 1, 3, 5"),
        ({"smoothing": 0}, "smoothing must be"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Timeline(**settings)


def test_the_average_ends_where_nobody_speaks():
    rows = [np.array([value]) for value in (1.0, 2.0, 6.0, 10.0)]
    found = smoothed([rows[0], rows[1], rows[2], None, rows[3]], width=3)
    assert [None if row is None else row[0] for row in found] == [1.5, 3.0, 4.0, None, 10.0]


@pytest.mark.parametrize("width", [1, 3, 7])
def test_the_average_against_numpy(width):
    rows = np.random.default_rng(0).dirichlet(np.ones(7), size=20)
    for place, row in enumerate(smoothed(list(rows), width=width)):
        low, high = max(0, place - width // 2), place + width // 2 + 1
        np.testing.assert_allclose(row, rows[low:high].mean(0))


def windows(labels: list[str | None], *, hop: float = 2, length: float = 4) -> list[Window]:
    found = []
    for place, label in enumerate(labels):
        scores = None if label is None else {"angry": 0.2, "sad": 0.3, label: 0.7}
        clip = None if label is None else Clip(text=f"word{place}")
        found.append(Window(place * hop, place * hop + length, clip, scores))
    return found


def test_segments_follow_each_other_without_gaps():
    members = windows(["angry", "angry", None, None, "sad", "angry"])
    segments = segments_of(members, table_of(members, abstain_below=None))
    assert [(s["start"], s["end"], s["label"]) for s in segments] == [
        (0, 5, "angry"),
        (5, 9, NO_SPEECH),
        (9, 11, "sad"),
        (11, 14, "angry"),
    ]
    sure = pytest.approx(0.7)
    assert [s["score"] for s in segments] == [sure, None, sure, sure]


def test_the_last_window_may_overlap_more():
    members = [Window(0, 4, Clip(), {"sad": 1.0}), Window(1, 5, None, None)]
    segments = segments_of(members, table_of(members, abstain_below=None))
    assert [(s["start"], s["end"]) for s in segments] == [(0, 2.5), (2.5, 5)]


def test_a_window_that_is_not_sure_has_no_label():
    members = windows(["angry", "sad"])
    table = table_of(members, abstain_below=0.8)
    assert [row["label"] for row in table] == [None, None]
    (segment,) = segments_of(members, table)
    assert segment["label"] is None and segment["score"] == pytest.approx(0.7)


def test_a_transcript_says_nothing_twice():
    assert transcript_of(windows(["sad"] * 5)) == "word0 word2 word4"
    assert transcript_of(windows(["sad", None, "sad"])) == "word0 word2"
    assert transcript_of(windows([None])) is None

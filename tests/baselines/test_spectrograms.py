"""Blocks of a second as images."""

import numpy as np
import pytest
from datasets import Audio, Dataset

from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from speech_emotion.baselines.spectrograms import (
    BLOCK,
    COLUMNS,
    JET,
    ROWS,
    SHIFT,
    WINDOW,
    blocks,
    cached_levels,
    images,
    levels,
)
from tests.helpers.baseline_clips import rows
from tests.helpers.toy_corpus import tone


def test_the_window_is_16_ms_with_a_shift_of_4_ms():
    """Paper, section III-C.1."""
    assert WINDOW / SAMPLING_RATE == 0.016 and SHIFT / SAMPLING_RATE == 0.004
    assert (ROWS, COLUMNS) == (257, 251) and SAMPLING_RATE == BLOCK


@pytest.mark.parametrize("milliseconds", [4, 12])
def test_a_click_is_seen_for_the_length_of_a_window(milliseconds):
    """A single sample is in as many frames as the window is long; their number pins both."""
    waveform = np.zeros(16_000, dtype=np.float32)
    waveform[8000 + 16 * milliseconds] = 1.0
    (made,) = levels(waveform)
    seen = np.flatnonzero(made.max(axis=0))
    # The ends of a Hann window are zero: of 16 ms in steps of 4 ms three frames are left.
    assert len(seen) == 3 and seen.mean() == 125 + milliseconds / 4


def test_an_image_is_257_by_251_by_3():
    made = images(tone(500, seconds=1.0))
    assert made.shape == (1, 257, 251, 3) and made.dtype == np.uint8


@pytest.mark.parametrize(
    ("seconds", "shift", "count"),
    [(1.0, 1.0, 1), (1.99, 1.0, 1), (3.5, 1.0, 3), (1.0, 0.01, 1), (1.5, 0.01, 51)],
)
def test_number_of_blocks(seconds, shift, count):
    cut = blocks(tone(500, seconds=seconds), shift=shift)
    assert cut.shape == (count, 16_000)
    np.testing.assert_allclose(np.abs(cut).max(axis=1), 1.0, rtol=1e-6)


def test_blocks_follow_one_another():
    waveform = tone(500, seconds=2.0)
    first, second = blocks(waveform)
    np.testing.assert_allclose(first * np.abs(waveform[:16_000]).max(), waveform[:16_000])
    np.testing.assert_allclose(second * np.abs(waveform[16_000:]).max(), waveform[16_000:])
    shifted = blocks(waveform, shift=0.25)[1]
    np.testing.assert_allclose(shifted * np.abs(waveform[4000:20_000]).max(), waveform[4000:20_000])


@pytest.mark.parametrize("hertz", [500.0, 4000.0])
def test_a_tone_is_a_bright_row_at_its_frequency_low_ones_at_the_bottom(hertz):
    (made,) = levels(np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000).astype(np.float32))
    row = 256 - round(hertz / (16_000 / 512))
    middle = made[:, 10:-10]
    assert (middle.argmax(axis=0) == row).all()
    assert (middle[row] == 255).all()  # a sine of full scale
    assert middle[(row + 128) % 257].max() < 30


def test_colours_are_those_of_jet():
    np.testing.assert_array_equal(JET[[0, 255]], [[0, 0, 128], [128, 0, 0]])
    waveform = tone(500, seconds=1.0)
    np.testing.assert_array_equal(images(waveform), JET[levels(waveform)])


def test_loudness_does_not_change_an_image():
    waveform = tone(500, seconds=1.0)
    np.testing.assert_array_equal(levels(waveform), levels(waveform * np.float32(0.25)))


def test_silence_is_an_image_without_colour():
    assert (levels(np.zeros(16_000, dtype=np.float32)) == 0).all()


def test_a_clip_shorter_than_a_block_is_one_line():
    with pytest.raises(AudioError, match="^0.50 s of audio, MobileNetV2 needs a block of 1 s$"):
        levels(tone(500, seconds=0.5))


def test_cached_levels_are_those_of_the_clips_and_short_ones_are_named(tmp_path):
    made = [*rows(range(1), labels=range(1)), *rows(range(1), labels=range(1, 2), seconds=0.5)]
    made += rows(range(1), labels=range(2, 3), seconds=2.2)
    split = Dataset.from_list(made).cast_column("audio", Audio(decode=False))
    for _ in range(2):
        clips, cached = cached_levels(split, tmp_path, shift=1.0, what="train")
        assert clips.values == [1, 2] and clips.labels.tolist() == [0, 2]
        assert "0.50 s of audio" in clips.left_out["made-00-1"]
        whole = [levels(load_audio(split[index]["audio"])) for index in (0, 2)]
        np.testing.assert_array_equal(cached, np.concatenate(whole))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    cached_levels(split, tmp_path, shift=0.5, what="train")
    assert len(list(tmp_path.iterdir())) == 4

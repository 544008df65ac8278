"""What is done to clips: each condition does what its name says, the same way every time."""

import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE
from speech_emotion.evaluation import conditions
from speech_emotion.evaluation.conditions import CONDITIONS, Condition

BY_KEY = {condition.key: condition for condition in CONDITIONS}


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def loudness(waveform: np.ndarray) -> float:
    """Level in dB."""
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-12)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.key)
def test_the_same_seed_gives_the_same_clip_within_full_scale(condition):
    if condition.missing():
        pytest.skip(condition.missing())
    waveform = tone(440)
    first, second = (condition.apply(waveform, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32 and np.abs(first).max() <= 1
    changed = len(first) != len(waveform) or not np.array_equal(first, waveform)
    assert changed == (condition.key != "as_recorded")


@pytest.mark.parametrize("level", [20, 10, 5, 0])
def test_noise_has_the_ratio_it_is_named_after(level):
    waveform = tone(440)
    added = BY_KEY[f"noise_{level}"].apply(waveform, seed=0) - waveform
    assert loudness(waveform) - loudness(added) == pytest.approx(level, abs=0.3)


def test_the_telephone_keeps_its_band_alone():
    line = BY_KEY["telephone"]
    inside, outside = (line.apply(tone(hertz), seed=0)[2000:-2000] for hertz in (1000, 6000))
    assert loudness(inside) == pytest.approx(loudness(tone(1000)), abs=1)
    assert loudness(outside) < loudness(tone(6000)) - 30


@pytest.mark.parametrize("key", ["mp3", "opus"])
def test_a_codec_keeps_the_tone_and_nearly_the_length(key):
    if BY_KEY[key].missing():
        pytest.skip(BY_KEY[key].missing())
    coded = BY_KEY[key].apply(tone(440, 2.0), seed=0)
    assert abs(len(coded) - 2 * SAMPLING_RATE) < 0.15 * SAMPLING_RATE
    spectrum = np.abs(np.fft.rfft(coded * np.hanning(len(coded))))
    assert np.argmax(spectrum) * SAMPLING_RATE / len(coded) == pytest.approx(440, abs=3)


def test_clipping_gain_and_speed():
    waveform = tone(440)
    assert np.abs(BY_KEY["clipping_25"].apply(waveform, seed=0)).max() == pytest.approx(0.075, 0.01)
    quieter = BY_KEY["gain_-20"].apply(waveform, seed=0)
    assert loudness(waveform) - loudness(quieter) == pytest.approx(20, abs=0.1)
    assert len(BY_KEY["speed_0.9"].apply(waveform, seed=0)) == pytest.approx(16_000 / 0.9, abs=2)
    assert len(BY_KEY["speed_1.1"].apply(waveform, seed=0)) == pytest.approx(16_000 / 1.1, abs=2)


def test_a_room_rings_on_after_the_sound():
    waveform = np.concatenate([tone(440, 0.5), np.zeros(8000, np.float32)])
    echo = BY_KEY["reverberation"].apply(waveform, seed=0)[8000:]
    assert loudness(echo[:1600]) > loudness(echo[-1600:]) + 20 > -100


def test_what_ffmpeg_cannot_do_is_one_line():
    odd = Condition(key="odd", name="odd", encoder="no_such_encoder")
    assert odd.missing() == "needs ffmpeg with no_such_encoder"
    rng = np.random.default_rng(0)
    with pytest.raises(conditions.CodecError, match="^ffmpeg: [^\n]+$"):
        conditions.coded(tone(440), rng, encoder="no_such_encoder", container="mp3", kbits=32)

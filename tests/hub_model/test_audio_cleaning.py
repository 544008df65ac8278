"""Noise is reduced and silence removed, and never anything more."""

from pathlib import Path

import librosa
import noisereduce
import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE, Cleaning, clean_audio, load_audio
from hub_model.levels import loud_segments
from hub_model.noise import reduce_noise
from tests.helpers.sounds import tone

CLIP = tone(noise=0)
EXAMPLE = Path(__file__).parents[2] / "examples" / "angry.wav"


def with_silence() -> np.ndarray:
    """Half a second of tone after one second of faint hiss and before another."""
    hiss = np.random.default_rng(0).normal(0, 1e-4, SAMPLING_RATE).astype(np.float32)
    return np.concatenate([hiss, tone(440, 0.5), hiss])


def test_silence_is_removed_but_for_a_margin():
    waveform = with_silence()
    for margin in (0.0, 0.1, 0.3):
        cleaned = clean_audio(waveform, Cleaning(denoise=False, keep_silence_s=margin))
        assert 0.35 < cleaned.size / SAMPLING_RATE - 2 * margin < 0.56
    # What is kept is kept as it was.
    start = waveform.tobytes().find(cleaned.tobytes())
    assert start > 0


def test_a_pause_is_shortened():
    pause = np.zeros(2 * SAMPLING_RATE, dtype=np.float32)
    waveform = np.concatenate([tone(440, 0.5), pause, tone(880, 0.5)])
    cleaned = clean_audio(waveform)
    assert 1.0 < cleaned.size / SAMPLING_RATE < 1.25


def test_noise_is_reduced():
    """The example clip after a second of noise, and with noise under it."""
    speech = load_audio(EXAMPLE)
    noise, spoken = slice(SAMPLING_RATE), slice(SAMPLING_RATE, None)
    waveform = np.random.default_rng(0).normal(0, 0.01, SAMPLING_RATE + speech.size)
    waveform[spoken] += speech
    waveform = waveform.astype(np.float32)

    def left(strength: float, part: slice) -> float:
        cleaned = clean_audio(waveform, Cleaning(trim=False, denoise_strength=strength))
        assert cleaned.size == waveform.size
        return cleaned[part].std() / waveform[part].std()

    assert 0.45 < left(0.5, noise) < 0.6
    assert left(0.5, spoken) > 0.7
    assert left(1.0, noise) < 0.1


@pytest.mark.parametrize(
    "size", [1600, 25_000, 600_000, 600_001, 1_250_000], ids="{:,} samples".format
)
def test_noise_is_reduced_as_by_noisereduce(size):
    """One piece, the longest piece, and several pieces with their margins."""
    speech = load_audio(EXAMPLE)
    noise = np.random.default_rng(0).normal(0, 0.003, size)
    waveform = (np.resize(speech, size) * np.linspace(0.1, 1, size) + noise).astype(np.float32)
    for strength in (0.5, 1.0):
        expected = noisereduce.reduce_noise(
            y=waveform, sr=SAMPLING_RATE, stationary=False, prop_decrease=strength
        )
        found = reduce_noise(waveform, strength)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_cleaning_can_be_switched_off():
    waveform = with_silence()
    for cleaning in (
        Cleaning(denoise=False, trim=False),
        Cleaning(denoise_strength=0.0, trim=False),
    ):
        np.testing.assert_array_equal(clean_audio(waveform, cleaning), waveform)


def test_a_voice_is_found_in_noise_that_fills_the_silence():
    noise = np.random.default_rng(0).normal(size=5 * SAMPLING_RATE).astype(np.float32)
    voice = np.concatenate([gap(1.5), CLIP, gap(1.5)])
    noisy = voice + noise[: voice.size] * np.sqrt(np.mean(voice**2)) * 10 ** (-5 / 20)
    plain, voiced = (clean_audio(noisy, Cleaning(voiced=on)) for on in (False, True))
    assert plain.size > voice.size - SAMPLING_RATE  # the noise is no silence
    assert CLIP.size - 0.7 * SAMPLING_RATE < voiced.size < CLIP.size + 0.7 * SAMPLING_RATE


def test_without_a_voice_nothing_is_removed():
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    settings = {"denoise": False, "trim": False}
    np.testing.assert_array_equal(clean_audio(noise, Cleaning(voiced=True, **settings)), noise)


def test_a_voice_after_many_blocks_is_placed_right():
    settings = {"denoise": False, "trim": False}
    waveform = np.concatenate([gap(40), CLIP, gap(30)])
    alone = clean_audio(CLIP, Cleaning(voiced=True, **settings))
    found = clean_audio(waveform, Cleaning(voiced=True, **settings))
    assert abs(found.size - alone.size) < 0.5 * SAMPLING_RATE
    assert np.sum(found**2) > 0.95 * np.sum(alone**2)


def test_cleaning_is_deterministic():
    waveform = with_silence()
    np.testing.assert_array_equal(clean_audio(waveform), clean_audio(waveform.copy()))
    np.testing.assert_array_equal(clean_audio(waveform), clean_audio(waveform, Cleaning()))


def gap(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLING_RATE), dtype=np.float32)


CLICK = np.array([0.9], dtype=np.float32)


@pytest.mark.parametrize(
    "waveform",
    [
        CLIP[4000:5600],
        CLIP[4000:5601] * 1e-3,
        np.concatenate([gap(2), CLIP, gap(3), CLIP, gap(2)]),
        np.concatenate([gap(1), CLICK, gap(1)]),
        np.concatenate([CLICK, gap(0.2)]),
        np.concatenate([gap(40), CLIP]),
        np.tile(CLIP, 45),
        np.where(np.arange(32_000) % 4000 < 2000, 0.5, 0).astype(np.float32),
        np.full(16_000, 0.5, dtype=np.float32),
        gap(1),
    ],
    ids=[
        "0.1 s",
        "faint",
        "long gaps",
        "one click",
        "click at the start",
        "mostly silence",
        "45 s",
        "steps",
        "constant",
        "zeros",
    ],
)
def test_cleaning_never_gives_nan_or_nothing(waveform):
    for cleaning in (Cleaning(), Cleaning(denoise_strength=1.0, keep_silence_s=0.0)):
        cleaned = clean_audio(waveform, cleaning)
        assert np.isfinite(cleaned).all()
        assert cleaned.dtype == np.float32
        assert 1600 <= cleaned.size <= waveform.size
        assert np.ptp(cleaned) > 0 or np.ptp(waveform) == 0


def test_cleaning_a_long_clip_leaves_no_seam():
    """Noise is reduced in pieces of 37 s; every second of an even clip comes out alike."""
    waveform = np.tile(CLIP, 50)
    cleaned = clean_audio(waveform, Cleaning(trim=False)).reshape(50, -1)
    strength = cleaned.std(axis=1)
    assert strength.min() > 0.9 * strength.max()


def test_settings_round_trip():
    cleaning = Cleaning(denoise=False, denoise_strength=0.25, trim_db=42.0, keep_silence_s=0.2)
    assert Cleaning.from_dict(cleaning.to_dict()) == cleaning
    assert Cleaning.from_dict(None) == Cleaning.from_dict({}) == Cleaning()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loudness": 1, "echo": 2}, "unknown cleaning setting: echo, loudness"),
        ({"denoise_strength": 1.5}, "denoise_strength must be 0 to 1, not 1.5"),
        ({"trim_db": 0}, "trim_db must be positive"),
        ({"keep_silence_s": -1}, "keep_silence_s not negative"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Cleaning.from_dict(settings)


@pytest.mark.parametrize("seed", range(8))
def test_loud_segments_are_those_of_librosa(seed):
    rng = np.random.default_rng(seed)
    levels, sizes = 10 ** rng.uniform(-4, -0.5, 9), rng.integers(3000, 9000, 9)
    pieces = [rng.normal(0, level, size) for level, size in zip(levels, sizes, strict=True)]
    waveform = np.concatenate([*pieces, np.zeros(3000)] if seed % 2 else pieces).astype(np.float32)
    for trim_db in (15.0, 30.0, 60.0):
        expected = librosa.effects.split(waveform, top_db=trim_db, frame_length=512, hop_length=128)
        np.testing.assert_array_equal(loud_segments(waveform, trim_db), expected)

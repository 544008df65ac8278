import json
import random

import numpy as np
import pytest
import soundfile

from corpus_builder import CorpusError
from corpus_builder.augmentation import TECHNIQUES, NoiseFolder, augment, draw


@pytest.fixture
def waveform(sound):
    return sound("a", seconds=1.6).astype(np.float32)


def parameters(take, **options):
    settings = {"rng": random.Random(7), "with_noise": True, "duration": 1.6, "min_duration": 1.0}
    return json.loads(draw(take, **settings | options))


def test_later_copies_change_more_and_no_two_of_a_clip_change_the_same():
    changed = [tuple(parameters(take)) for take in range(1, 16)]
    assert changed[:4] == [(name,) for name in TECHNIQUES]
    assert len(set(changed)) == 15 and changed[14] == TECHNIQUES
    assert not any("noise" in parameters(take, with_noise=False) for take in range(1, 16))


def test_a_copy_is_never_stretched_below_the_shortest_clip():
    for seed in range(20):
        rate = parameters(1, rng=random.Random(seed), duration=1.02)["stretch"]["rate"]
        assert 1.02 / rate >= 1.0


def test_stretch_changes_the_length_by_its_rate(waveform):
    out = augment(waveform, {"stretch": {"rate": 0.9}})
    assert out.size == pytest.approx(waveform.size / 0.9, rel=0.01)
    assert out.dtype == np.float32


def peak_frequency(waveform):
    return np.argmax(np.abs(np.fft.rfft(waveform, 1 << 17)))


def test_pitch_moves_the_tone_and_keeps_the_length():
    tone = np.sin(2 * np.pi * 220 * np.arange(32_000) / 16_000).astype(np.float32) / 4
    out = augment(tone, {"pitch": {"semitones": 2.0}})
    assert out.size == tone.size
    ratio = peak_frequency(out) / peak_frequency(tone)
    assert ratio == pytest.approx(2 ** (2 / 12), rel=0.02)


def test_gain_is_in_decibels_and_never_clips(waveform):
    np.testing.assert_allclose(
        augment(waveform, {"gain": {"db": -6.0}}), waveform * 10 ** (-6 / 20), rtol=1e-5
    )
    loud = waveform / np.abs(waveform).max()
    np.testing.assert_allclose(augment(loud, {"gain": {"db": 6.0}}), loud, atol=1e-6)


@pytest.mark.parametrize("recorded", [False, True])
def test_noise_has_the_ratio_that_is_recorded(waveform, tmp_path, recorded):
    noise = {"snr_db": 12.0, "seed": 3}
    if recorded:
        rain = np.random.default_rng(0).normal(0, 0.05, 60_000)
        soundfile.write(tmp_path / "rain.wav", rain, 22_050)
        noise["file"] = "rain.wav"
    else:
        noise["db_per_octave"] = -3.0
    out = augment(waveform, {"noise": noise}, noise=tmp_path)
    added = out - waveform
    ratio = 10 * np.log10(np.mean(waveform**2) / np.mean(added**2))
    assert ratio == pytest.approx(12.0, abs=0.5)
    np.testing.assert_array_equal(out, augment(waveform, {"noise": noise}, noise=tmp_path))
    other = augment(waveform, {"noise": noise | {"seed": 4}}, noise=tmp_path)
    assert not np.array_equal(out, other)


def test_augmenting_leaves_the_global_generators_alone(waveform):
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    augment(waveform, parameters(15))
    assert (random.random(), np.random.random()) == expected


def test_noise_comes_from_a_folder_by_name_and_hash(tmp_path):
    soundfile.write(tmp_path / "rain.wav", np.ones(16_000) * np.linspace(0, 0.1, 16_000), 16_000)
    folder = NoiseFolder.open(tmp_path)
    noise = parameters(3, noise=folder)["noise"]
    assert noise["file"] == "rain.wav" and noise["sha256"] == folder.files["rain.wav"]


def test_a_folder_of_noise_must_hold_audio(tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        NoiseFolder.open(tmp_path / "missing")
    with pytest.raises(CorpusError, match="found no audio"):
        NoiseFolder.open(tmp_path)
    (tmp_path / "rain.wav").write_bytes(b"none")
    with pytest.raises(CorpusError, match="rain.wav: not an audio file"):
        NoiseFolder.open(tmp_path)

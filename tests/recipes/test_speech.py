import shutil

import numpy as np
import pytest

from hub_model.audio import clean_audio, load_audio
from recipes.mini.distill import DistillConfig
from recipes.mini.speech import collect_speech
from speech_emotion.training.parsing import ConfigError
from tests.helpers.toy_corpus import flac, rows, tone

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not here")


def collect(**settings):
    return collect_speech(DistillConfig(**settings))


def test_of_a_corpus_the_training_clips_are_heard_and_not_cleaned_again(corpus):
    heard = collect(data=str(corpus))
    expected = [load_audio(row["audio"]) for row in rows((1, 2, 3))]
    assert len(heard) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(heard, expected, strict=True))


def test_files_of_a_folder_are_cleaned_and_bad_ones_left_out(tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.flac").write_bytes(flac(tone(300, seconds=1.0)))
    (tmp_path / "broken.wav").write_text("no audio")
    (tmp_path / "notes.txt").write_text("no audio either")
    (heard,) = collect(folders=[str(tmp_path)])
    np.testing.assert_array_equal(heard, clean_audio(load_audio(tmp_path / "deep" / "one.flac")))
    assert capsys.readouterr().out.count("left out") == 1


def test_every_speed_is_heard_in_pieces(tmp_path):
    (tmp_path / "long.flac").write_bytes(flac(tone(300, seconds=7.0)))
    (tmp_path / "short.flac").write_bytes(flac(tone(300, seconds=1.0)))
    heard = collect(folders=[str(tmp_path)], speeds=[1.0, 0.5, 2.0], seconds=5.0)
    sizes = [clip.size / 16_000 for clip in heard]
    assert sizes == pytest.approx([3.5, 3.5, 1, 14 / 3, 14 / 3, 14 / 3, 2, 3.5, 0.5], abs=0.01)
    assert {clip.dtype for clip in heard} == {np.dtype(np.float32)}
    spectrum = np.abs(np.fft.rfft(heard[-1]))
    assert spectrum.argmax() / 0.5 == pytest.approx(600, abs=5)  # twice as fast is twice as high


def test_silence_comes_before_and_after_a_clip(tmp_path):
    (tmp_path / "one.flac").write_bytes(flac(tone(300, seconds=1.0)))
    settings = {"folders": [str(tmp_path)], "speeds": [1.0, 1.0]}
    first, second = collect(**settings, silence_s=0.5)
    (plain, _) = collect(**settings)
    assert plain.size < first.size <= plain.size + 16_000 and first.size != second.size
    start = int(np.flatnonzero(first)[0])
    assert start > 100
    assert np.flatnonzero(first)[-1] < first.size - 100
    heard = first[start : start + plain.size - 1]
    np.testing.assert_array_equal(heard, plain[plain.nonzero()[0][0] :][: heard.size])


@needs_espeak
def test_made_speech_is_varied_and_follows_the_seed(tmp_path):
    (tmp_path / "texts.tsv").write_text("such a lovely day\t17\n!\t2\nhow dare you\t3\n")
    texts = [str(tmp_path / "texts.tsv")]
    first, again, other = (
        collect(synthetic_clips=6, synthetic_texts=texts, seed=seed) for seed in (1, 1, 2)
    )
    assert len(first) == len(again) >= 3
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({clip.size for clip in first}) > 1
    assert {clip.tobytes() for clip in first} != {clip.tobytes() for clip in other}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "nowhere/at-all"}, "nowhere/at-all: no corpus"),
        ({"folders": ["nowhere"]}, "nowhere: no audio files"),
        ({"synthetic_clips": 1, "synthetic_texts": ["nowhere.txt"]}, "nowhere.txt: cannot be read"),
        ({"synthetic_clips": 1}, "synthetic_clips needs synthetic_texts"),
    ],
)
def test_missing_speech_is_refused(offline, settings, message):
    if "synthetic_clips" in settings and not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not here")
    with pytest.raises(ConfigError, match=message):
        collect(**settings)


def test_a_missing_espeak_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="synthetic_clips needs the program espeak-ng"):
        collect(synthetic_clips=1)

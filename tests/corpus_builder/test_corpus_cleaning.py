import io

import numpy as np
import pytest
import soundfile

from corpus_builder.cleaning import clean_utterance, encode_flac
from corpus_builder.sources import Utterance
from hub_model.audio import Cleaning, audio_hash, clean_audio, load_audio


def utterance(path):
    return Utterance(
        utterance_id="a", corpus="ravdess", path=path, source_label="sad", speaker_id="ravdess-01"
    )


def clean(path, **options):
    return clean_utterance(utterance(path), cleaning=Cleaning(), **options)


def test_a_clip_is_cleaned_as_the_model_cleans_it(tmp_path, sound):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound("a", rate=48_000), 48_000)
    clip = clean(path)
    samples, rate = soundfile.read(io.BytesIO(clip.flac), dtype="float32")
    expected = clean_audio(load_audio(path), Cleaning())
    assert rate == 16_000
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)
    assert clip.duration == pytest.approx(samples.size / 16_000)
    assert clip.audio_hash == audio_hash(load_audio(path))
    assert soundfile.info(io.BytesIO(clip.flac)).subtype == "PCM_16"


def test_the_hash_is_of_the_source_whatever_the_cleaning(tmp_path, sound):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound("a"), 16_000)
    plain = Cleaning(denoise=False, trim=False)
    other = clean_utterance(utterance(path), cleaning=plain)
    assert clean(path).audio_hash == other.audio_hash
    assert clean(path).flac != other.flac


def test_a_short_clip_is_dropped_after_cleaning(tmp_path, sound):
    path = tmp_path / "a.wav"
    padded = np.concatenate([np.zeros(16_000), sound("a", seconds=0.7), np.zeros(16_000)])
    soundfile.write(path, padded, 16_000)
    clip = clean(path)
    assert (clip.reason, clip.flac) == ("short", None)
    assert "after cleaning, less than 1 s" in clip.detail
    assert clean(path, min_duration=0.5).reason is None


@pytest.mark.parametrize(
    ("content", "detail"),
    [(b"", "empty"), (b"this is no audio", "not an audio file"), (None, "no such file")],
)
def test_bad_files_give_a_reason_without_their_path(tmp_path, content, detail):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    clip = clean(path)
    assert clip.reason == "unusable"
    assert detail in clip.detail and str(tmp_path) not in clip.detail


def test_silence_is_unusable(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(32_000), 16_000)
    assert clean(path).reason == "unusable"


def test_samples_beyond_full_scale_are_clipped_not_wrapped():
    samples, _ = soundfile.read(io.BytesIO(encode_flac(np.array([2.0, -2.0, 0.5], np.float32))))
    np.testing.assert_allclose(samples, [1.0, -1.0, 0.5], atol=1e-4)

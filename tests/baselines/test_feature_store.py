"""The 94 features in the cache of vectors."""

import numpy as np
import pytest
from datasets import Audio, Dataset

from hub_model.audio import load_audio
from speech_emotion.baselines import BaselineError, feature_store
from speech_emotion.baselines.feature_store import clip_hash, features_folder, stored_features
from speech_emotion.baselines.features import clip_features
from speech_emotion.predict.vector_cache import VectorCache
from tests.helpers.baseline_clips import rows


def split(made: list[dict]) -> Dataset:
    return Dataset.from_list(made).cast_column("audio", Audio(decode=False))


def test_stored_features_are_those_of_the_clips(tmp_path):
    made = split(rows(range(1)))
    clips = stored_features(made, tmp_path, what="train")
    np.testing.assert_array_equal(
        clips.values, [clip_features(load_audio(audio)) for audio in made["audio"]]
    )
    again = stored_features(made, tmp_path, what="train")
    np.testing.assert_array_equal(again.values, clips.values)


def test_what_is_stored_is_not_computed_again(tmp_path):
    made = split(rows(range(1), labels=range(2)))
    cache = VectorCache(features_folder(tmp_path))
    cache.add({clip_hash(made[0]["audio"]): np.full(94, 7, dtype=np.float32)})
    cache.flush()
    first, second = stored_features(made, tmp_path, what="train").values
    assert (first == 7).all() and not (second == 7).any()
    kept = VectorCache(features_folder(tmp_path))
    assert all(clip_hash(audio) in kept for audio in made["audio"])


def test_another_cleaning_of_a_recording_is_another_clip(tmp_path):
    quiet, loud = rows(range(1), labels=range(2))
    loud["audio_hash"] = quiet["audio_hash"]
    first, second = stored_features(split([quiet, loud]), tmp_path, what="train").values
    assert not np.array_equal(first, second)


def test_a_clip_that_cannot_be_decoded_is_left_out_and_named(tmp_path):
    made = rows(range(1), labels=range(3))
    made[1]["audio"]["bytes"] = b"no audio"
    clips = stored_features(split(made), tmp_path, what="train")
    assert clips.labels.tolist() == [0, 2] and clips.kept == [0, 2]
    assert "not an audio file" in clips.left_out["made-00-1"]


def test_features_of_another_version_are_not_used(tmp_path, monkeypatch):
    made = split(rows(range(1), labels=range(1)))
    stored_features(made, tmp_path, what="train")
    monkeypatch.setattr(feature_store, "FEATURE_VERSION", 99)
    monkeypatch.setattr(feature_store, "clip_features", lambda _: np.full(94, 3, np.float32))
    assert (stored_features(made, tmp_path, what="train").values[0] == 3).all()


@pytest.mark.parametrize("content", [b"", b"no features"])
def test_what_is_no_feature_file_is_refused_in_one_line(tmp_path, content):
    folder = features_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "damaged.safetensors").write_bytes(content)
    with pytest.raises(BaselineError, match="not a file of vectors; delete it") as error:
        stored_features(split(rows(range(1), labels=range(1))), tmp_path, what="train")
    assert "\n" not in str(error.value)


def test_a_stopped_run_keeps_what_it_computed(tmp_path, monkeypatch):
    made = split(rows(range(1)))
    calls = []

    def stop_at_the_third(waveform: np.ndarray) -> np.ndarray:
        calls.append(waveform)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return clip_features(waveform)

    monkeypatch.setattr(feature_store, "clip_features", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        stored_features(made, tmp_path, what="train")
    kept = VectorCache(features_folder(tmp_path))
    assert sum(clip_hash(audio) in kept for audio in made["audio"]) == 2

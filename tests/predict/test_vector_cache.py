"""Vectors on disk."""

import numpy as np
import pytest

from speech_emotion.predict import vector_cache
from speech_emotion.predict.vector_cache import CHUNK, CacheError, VectorCache


def test_vectors_are_found_again_and_by_others(tmp_path):
    cache, other = VectorCache(tmp_path / "a"), VectorCache(tmp_path / "a")
    vectors = {name: np.full(3, index, np.float32) for index, name in enumerate("xyz")}
    cache.add(vectors)
    cache.flush()
    other.add({"w": np.ones(3, np.float32)})
    other.flush()
    assert "x" not in other
    other.refresh()
    assert all(np.array_equal(other[name], vectors[name]) for name in vectors)
    assert "w" in VectorCache(tmp_path / "a")
    assert not list((tmp_path / "a").glob("*.new"))


def test_whole_files_are_written_without_being_asked_for(tmp_path):
    cache = VectorCache(tmp_path)
    for number in range(CHUNK + 1):
        cache.add({str(number): np.full(2, number)})
    assert "0" in VectorCache(tmp_path) and str(CHUNK) not in VectorCache(tmp_path)
    cache.flush()
    cache.flush()
    found = VectorCache(tmp_path)
    assert found[str(CHUNK)].tolist() == [CHUNK, CHUNK] and len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(_, path, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vector_cache, "save_file", full)
    cache = VectorCache(tmp_path / "a")
    cache.add({"x": np.ones(3)})
    with pytest.raises(CacheError, match="cannot be written .No space left on device"):
        cache.flush()
    assert not list((tmp_path / "a").glob("*"))


@pytest.mark.parametrize("content", [b"", b"no vectors at all"])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(CacheError, match="not a file of vectors; delete it") as refused:
        VectorCache(tmp_path)
    assert "\n" not in str(refused.value)

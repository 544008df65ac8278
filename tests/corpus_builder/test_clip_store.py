import os

import pytest

from corpus_builder.clip_store import (
    CleaningTask,
    read_flac,
    read_part,
    replacing,
    split_into_tasks,
)
from corpus_builder.sources import Ravdess
from hub_model.audio import Cleaning


def task(raw, folder, **changes):
    settings = {"cleaning": Cleaning(denoise=False), "min_duration": 1.0} | changes
    utterances = tuple(Ravdess(raw).read())[:3]
    return CleaningTask(folder=folder, utterances=utterances, **settings)


def test_a_part_gives_back_what_was_cleaned(raw, tmp_path):
    path = task(raw, tmp_path).run()
    rows = read_part(path)
    assert [clip.utterance_id for clip, _ in rows] == [
        utterance.utterance_id for utterance in task(raw, tmp_path).utterances
    ]
    for row, (clip, size) in enumerate(rows):
        assert clip.reason is None
        assert len(read_flac(path, row)) == size
        assert read_flac(path, row).startswith(b"fLaC")


def test_a_finished_part_is_not_made_again(raw, tmp_path):
    path = task(raw, tmp_path).run()
    os.utime(path, ns=(1, 1))
    assert task(raw, tmp_path).run().stat().st_mtime_ns == 1


def test_other_settings_or_files_make_another_part(raw, tmp_path, write, names):
    path = task(raw, tmp_path).path
    assert task(raw, tmp_path, min_duration=0.5).path != path
    assert task(raw, tmp_path, cleaning=Cleaning()).path != path
    copy = write(tmp_path / "raw", names([1], emotions=[1]))
    before = task(copy, tmp_path).path
    os.utime(next(copy.rglob("*.wav")), ns=(1, 1))
    assert task(copy, tmp_path).path != before


def test_tasks_keep_the_order(raw, tmp_path):
    utterances = list(Ravdess(raw).read())
    tasks = split_into_tasks(utterances, folder=tmp_path, cleaning=Cleaning(), min_duration=1.0)
    assert [utterance for item in tasks for utterance in item.utterances] == utterances


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
from datasets import Audio, ClassLabel, load_dataset

from corpus_builder import CorpusError
from corpus_builder.build import BuildConfig, build
from corpus_builder.shards import read_rows, write_shards
from corpus_builder.sources import Ravdess
from hub_model.audio import Cleaning, load_audio
from hub_model.labels import EMOTIONS

PLAIN = Cleaning(denoise=False)


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def rebuild(raw, out, **settings):
    return build([Ravdess(raw)], BuildConfig(out=out, **{"cleaning": PLAIN} | settings))


def files(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("config", ["speaker_disjoint", "paper", "natural"])
def test_load_dataset_opens_what_was_built(corpus, cache, config):
    data = load_dataset(str(corpus), config, cache_dir=cache)
    assert list(data) == ["train", "validation", "test"]
    assert sum(data.num_rows.values()) == 84
    features = data["train"].features
    assert features["label"] == ClassLabel(names=list(EMOTIONS))
    assert features["audio"].sampling_rate == 16_000
    for row in data["test"].cast_column("audio", Audio(decode=False)):
        samples = load_audio(row["audio"])
        assert samples.size / 16_000 == pytest.approx(row["duration"])
        assert EMOTIONS[row["label"]] == row["source_label"]
        assert row["source_id"] == row["utterance_id"] and row["augmentation"] is None
        assert row["whisper_transcript"] is None and row["transcript"].endswith("by the door")


def test_speaker_disjoint_is_the_default_and_streams(corpus):
    stream = load_dataset(str(corpus), split="train", streaming=True)
    stream = stream.cast_column("audio", Audio(decode=False))
    speakers = {row["speaker_id"] for row in stream}
    test = {row["speaker_id"] for row in read_rows(corpus, "speaker_disjoint")["test"]}
    assert speakers and test and not speakers & test


def test_build_json_says_what_was_done(corpus):
    report = json.loads((corpus / "build.json").read_text())
    assert report["settings"]["seed"] == 42
    assert report["settings"]["cleaning"] == Cleaning().to_dict()
    assert report["removed_labels"] == {"ravdess": {"neutral": 12}}
    assert report["kept"] == {"ravdess": dict.fromkeys(EMOTIONS, 12)}
    assert report["sources"]["ravdess"]["redistributable"] is True
    assert len(report["fingerprint"]) == 64
    assert {"datasets", "soundfile", "python"} <= set(report["versions"])
    for name, config in report["configs"].items():
        rows = read_rows(corpus, name)
        assert {key: split["clips"] for key, split in config["splits"].items()} == {
            key: len(value) for key, value in rows.items()
        }
        assert any(item["what"] == "speaker" for item in config["audit"])


def test_the_card_states_protocols_and_leaks(corpus):
    card = (corpus / "README.md").read_text()
    assert "license:\n- cc-by-nc-sa-4.0" in card
    assert "speaker-dependent" in card
    assert (
        "| speaker | train and validation: 0; train and test: 0; validation and test: 0 |" in card
    )
    assert (
        "| speaker | train and validation: 6; train and test: 6; validation and test: 6 |" in card
    )


def test_nothing_but_the_data_set_is_left(corpus):
    assert {path.name for path in corpus.iterdir()} == {
        "README.md",
        "build.json",
        "figure_2.png",
        "natural",
        "paper",
        "rejected.csv",
        "speaker_disjoint",
    }


def test_another_seed_gives_another_split(raw, tmp_path):
    one = rebuild(raw, tmp_path / "one", seed=1)
    two = rebuild(raw, tmp_path / "two", seed=2)
    assert one["fingerprint"] == two["fingerprint"]
    for name in ("paper", "speaker_disjoint"):
        assert one["configs"][name]["fingerprint"] != two["configs"][name]["fingerprint"]


def test_neutral_can_be_kept_as_the_eighth_class(raw, tmp_path):
    report = rebuild(raw, tmp_path / "out", keep_neutral=True, configs=("paper",))
    assert report["kept"]["ravdess"]["neutral"] == 12
    assert report["removed_labels"] == {}
    rows = read_rows(tmp_path / "out", "paper")
    assert {row["label"] for row in rows["test"]} == {*EMOTIONS, "neutral"}


def test_bad_files_and_duplicates_are_listed_and_the_build_goes_on(raw, tmp_path, sound):
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    folder = root / "Actor_01"
    (folder / "03-01-05-01-01-01-01.wav").write_bytes(b"")
    (folder / "03-01-05-01-02-01-01.wav").write_bytes(b"not audio at all")
    soundfile.write(folder / "03-01-04-01-01-01-01.wav", np.zeros(32_000), 16_000)
    soundfile.write(folder / "03-01-04-01-02-01-01.wav", sound("x", seconds=0.6), 16_000)
    samples, rate = soundfile.read(folder / "03-01-03-01-01-01-01.wav")
    soundfile.write(folder / "03-01-03-01-01-02-01.flac", samples, rate)
    (folder / "holiday.wav").write_bytes(b"")
    report = rebuild(root, tmp_path / "out")
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        rows = {row["path"]: (row["label"], row["reason"]) for row in csv.DictReader(file)}
    assert rows == {
        "Actor_01/03-01-05-01-01-01-01.wav": ("angry", "unusable"),
        "Actor_01/03-01-05-01-02-01-01.wav": ("angry", "unusable"),
        "Actor_01/03-01-04-01-01-01-01.wav": ("sad", "unusable"),
        "Actor_01/03-01-04-01-02-01-01.wav": ("sad", "short"),
        "Actor_01/03-01-03-01-01-02-01.flac": ("happy", "duplicate"),
        "Actor_01/holiday.wav": ("", "name"),
    }
    assert report["dropped"]["ravdess"]["unusable"] == {"angry": 2, "sad": 1}
    assert report["kept"]["ravdess"] == dict.fromkeys(EMOTIONS, 12) | {"angry": 10, "sad": 10}


@pytest.mark.parametrize(
    ("name", "content", "detail"),
    [
        ("03-01-05-01-01-01-01.wav", b"", "empty file"),
        ("holiday.wav", b"x", "not a RAVDESS name"),
    ],
)
def test_strict_makes_a_bad_file_an_error(raw, tmp_path, name, content, detail):
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    (root / "Actor_01" / name).write_bytes(content)
    with pytest.raises(CorpusError, match=f"--strict: 1 bad files.*Actor_01/{name}.*{detail}"):
        rebuild(root, tmp_path / "out", strict=True)
    assert not list((tmp_path / "out").glob("*/*.parquet"))


def test_strict_accepts_short_clips_and_duplicates(raw, tmp_path, sound):
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    folder = root / "Actor_01"
    soundfile.write(folder / "03-01-04-01-02-01-01.wav", sound("x", seconds=0.6), 16_000)
    shutil.copy(folder / "03-01-03-01-01-01-01.wav", folder / "03-01-03-01-01-02-01.wav")
    report = rebuild(root, tmp_path / "out", strict=True)
    assert set(report["dropped"]["ravdess"]) == {"short", "duplicate"}


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "03-01-05-01-01-01-01.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="no clip is left .*1 unusable"):
        rebuild(folder, tmp_path / "out")


def test_a_folder_with_other_files_is_not_touched(raw, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match="files that no build has written"):
        rebuild(raw, tmp_path)
    assert files(tmp_path) == {"thesis.txt": b"mine"}


def test_a_rebuild_replaces_what_was_there(raw, tmp_path):
    rebuild(raw, tmp_path / "out")
    rebuild(raw, tmp_path / "out", configs=("paper",), max_shard_bytes=500_000)
    assert not (tmp_path / "out" / "speaker_disjoint").exists()
    shards = sorted(path.name for path in (tmp_path / "out" / "paper").glob("train-*"))
    assert len(shards) > 1
    assert shards[0] == f"train-00000-of-{len(shards):05d}.parquet"
    assert sum(map(len, read_rows(tmp_path / "out", "paper").values())) == 84


def test_a_failed_build_leaves_the_finished_one_and_goes_on_later(raw, tmp_path, write, names):
    out = tmp_path / "out"
    rebuild(raw, out)
    before = files(out)
    two_actors = write(tmp_path / "two", names([1, 2]))
    with pytest.raises(CorpusError, match="at least 3 speakers"):
        rebuild(two_actors, out)
    assert {name: data for name, data in files(out).items() if ".work" not in name} == before
    rebuild(raw, out)
    assert files(out) == before


def test_an_empty_split_still_has_its_shard(tmp_path):
    from corpus_builder.records import features

    (path,) = write_shards(tmp_path / "paper", "test", [], features=features())
    assert path.name == "test-00000-of-00001.parquet"
    assert read_rows(tmp_path, "paper") == {"test": []}


def test_real_clips(real_ravdess, tmp_path, cache):
    """Seven actors' sad and happy clips; actor 7 has one recording under two names."""
    root = tmp_path / "raw"
    root.mkdir()
    for path in real_ravdess.glob("Actor_0[1-7]/03-01-0[34]-01-02-*"):
        (root / path.name).symlink_to(path)
    report = rebuild(root, tmp_path / "out", cleaning=Cleaning())
    assert report["dropped"] == {"ravdess": {"duplicate": {"happy": 1}}}
    data = load_dataset(str(tmp_path / "out"), cache_dir=cache)
    assert sum(data.num_rows.values()) == 27

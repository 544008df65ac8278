import json
import shutil

import pytest
import soundfile

from corpus_builder import CorpusError
from corpus_builder.build import BuildConfig, build
from corpus_builder.manifest import Manifest, write_manifest
from corpus_builder.sources import Ravdess
from hub_model.audio import Cleaning


@pytest.fixture(scope="module")
def made(raw, tmp_path_factory):
    """A corpus with copies, and its manifest."""
    out = tmp_path_factory.mktemp("built") / "out"
    settings = {"cleaning": Cleaning(denoise=False), "target": 14, "seed": 5}
    report = build([Ravdess(raw)], BuildConfig(out=out, configs=("paper",), **settings))
    folder = tmp_path_factory.mktemp("manifest")
    write_manifest(out, report, folder)
    return out, folder


def rebuild(folder, raw, out):
    config = BuildConfig.from_manifest(Manifest.read(str(folder)), out=out)
    return build([Ravdess(raw)], config)


def test_copies_are_made_again_from_their_parameters(made, raw, tmp_path):
    out, folder = made
    rows = [json.loads(line) for line in (folder / "paper" / "train.jsonl").open()]
    assert any(row["augmentation"] for row in rows)
    assert not any("audio" in row or "transcript" in row for row in rows)
    rebuild(folder, raw, tmp_path / "again")
    for path in out.rglob("*.parquet"):
        assert (tmp_path / "again" / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_further_originals_change_nothing(made, raw, write, tmp_path):
    out, folder = made
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    write(root, ["03-01-05-01-01-01-24"])
    report = rebuild(folder, root, tmp_path / "again")
    assert report["kept"]["ravdess"]["angry"] == 13
    for path in out.rglob("*.parquet"):
        assert (tmp_path / "again" / path.relative_to(out)).read_bytes() == path.read_bytes()


def test_missing_originals_are_named(made, raw, tmp_path):
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    (root / "Actor_01" / "03-01-05-01-01-01-01.wav").unlink()
    with pytest.raises(CorpusError, match="1 recordings are not there: ravdess-03-01-05-01-01-01-"):
        rebuild(made[1], root, tmp_path / "again")


def test_other_recordings_under_the_same_name_are_named(made, raw, tmp_path, sound):
    root = tmp_path / "raw"
    shutil.copytree(raw, root)
    soundfile.write(root / "Actor_01" / "03-01-05-01-01-01-01.wav", sound("other"), 16_000)
    with pytest.raises(CorpusError, match="1 recordings are other recordings"):
        rebuild(made[1], root, tmp_path / "again")


def test_what_is_no_manifest_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="not a manifest"):
        Manifest.read(str(tmp_path))
    with pytest.raises(CorpusError, match="neither a folder nor a repo id"):
        Manifest.read("not/a/repo")
    (tmp_path / "build.json").write_text('{"configs": {}}')
    with pytest.raises(CorpusError, match="not the settings of a build"):
        BuildConfig.from_manifest(Manifest.read(str(tmp_path)), out=tmp_path)


def test_recorded_noise_must_be_the_same(made, tmp_path):
    folder = tmp_path / "manifest"
    shutil.copytree(made[1], folder)
    report = json.loads((folder / "build.json").read_text())
    report["settings"]["noise"] = {"rain.wav": "0" * 16}
    (folder / "build.json").write_text(json.dumps(report))
    with pytest.raises(CorpusError, match="--noise"):
        BuildConfig.from_manifest(Manifest.read(str(folder)), out=tmp_path / "out")

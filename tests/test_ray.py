"""``--engine ray`` of ``corpus build`` and ``predict``, on one local Ray of two workers."""

import json
import sys
from pathlib import Path

import pytest

from corpus_builder import CorpusError
from corpus_builder.build import BuildConfig, build
from corpus_builder.ray_cluster import RayCluster
from corpus_builder.sources import Ravdess
from corpus_builder.workers import make_workers
from hub_model.audio import Cleaning
from speech_emotion.cli.main import main
from tests.helpers.answers import same
from tests.helpers.made_ravdess import ravdess_names, write_ravdess
from tests.helpers.sounds import encode, tone


@pytest.fixture(scope="module")
def cluster():
    """The commands join a cluster that runs already, and leave it running."""
    ray = pytest.importorskip("ray")
    cluster = RayCluster(workers=2)
    assert ray.cluster_resources()["CPU"] == 2
    yield ray
    assert ray.is_initialized()
    cluster.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    for place in range(40):
        path = root / f"clip{place:02d}.wav"
        path.write_bytes(encode(tone(200 + 30 * place, 0.3 + 0.01 * place, seed=place)))
    (root / "clip07.wav").write_bytes(b"no audio")
    return root


def files(out: Path) -> dict[Path, bytes]:
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_ray_builds_the_shards_that_one_process_builds(cluster, tmp_path):
    raw = write_ravdess(tmp_path / "raw", ravdess_names(range(1, 7)))
    for engine, workers in (("ray", 2), ("processes", 1)):
        settings = {"cleaning": Cleaning(denoise=False), "target": 16, "configs": ("paper",)}
        config = BuildConfig(out=tmp_path / engine, engine=engine, workers=workers, **settings)
        build([Ravdess(raw)], config)
    assert files(tmp_path / "ray") == files(tmp_path / "processes")


@pytest.mark.slow
def test_ray_gives_the_rows_that_one_process_gives(cluster, model_folder, folder, tmp_path):
    rows = {}
    for engine, workers in (("ray", 2), ("processes", 0)):
        out = tmp_path / f"{engine}.jsonl"
        command = ["predict", folder, "--model", model_folder, "--format", "json", "--out", out]
        command += ["--engine", engine, "--workers", workers, "--no-clean"]
        assert main([*map(str, command)]) == 1
        rows[engine] = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows["ray"]) == 40
    for one, other in zip(rows["ray"], rows["processes"], strict=True):
        assert ("error" in one) == one["file"].endswith("clip07.wav")
        if "error" not in one:
            same(one.pop("emotions"), other.pop("emotions"), atol=1e-6)
        assert one == other


def test_without_ray_the_error_says_what_to_install(model_folder, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CorpusError, match=r"speech-text-emotion\[ray\]"):
        make_workers(engine="ray", workers=2)
    command = ["predict", str(folder), "--model", str(model_folder), "--engine", "ray"]
    assert main(command) == 2
    assert "speech-text-emotion[ray]" in capsys.readouterr().err

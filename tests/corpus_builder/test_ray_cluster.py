import sys

import pytest

from corpus_builder import CorpusError
from corpus_builder.build import BuildConfig, build
from corpus_builder.sources import Ravdess
from corpus_builder.workers import make_workers
from hub_model.audio import Cleaning


def files(out):
    return {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_local_ray_of_two_workers_gives_the_same_shards(raw, tmp_path):
    pytest.importorskip("ray")
    for engine, workers in (("ray", 2), ("processes", 1)):
        settings = {"cleaning": Cleaning(denoise=False), "target": 16, "configs": ("paper",)}
        config = BuildConfig(out=tmp_path / engine, engine=engine, workers=workers, **settings)
        build([Ravdess(raw)], config)
    assert files(tmp_path / "ray") == files(tmp_path / "processes")


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CorpusError, match=r"speech-text-emotion\[ray\]"):
        make_workers(engine="ray", workers=2)

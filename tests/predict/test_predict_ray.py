"""``predict --engine ray`` on a local Ray of two workers."""

import json
import sys

import pytest

from speech_emotion.cli.main import main
from tests.helpers.answers import same
from tests.helpers.sounds import encode, tone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    for place in range(40):
        path = root / f"clip{place:02d}.wav"
        path.write_bytes(encode(tone(200 + 30 * place, 0.3 + 0.01 * place, seed=place)))
    (root / "clip07.wav").write_bytes(b"no audio")
    return root


@pytest.mark.slow
def test_ray_gives_the_rows_that_one_process_gives(model_folder, folder, tmp_path):
    pytest.importorskip("ray")
    rows = {}
    for engine in ("ray", "processes"):
        out = tmp_path / f"{engine}.jsonl"
        command = ["predict", folder, "--model", model_folder, "--format", "json", "--out", out]
        command += ["--engine", engine, "--workers", 2, "--no-clean"]
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
    command = ["predict", str(folder), "--model", str(model_folder), "--engine", "ray"]
    assert main(command) == 2
    assert "speech-text-emotion[ray]" in capsys.readouterr().err

"""Every container through the command line: a folder, standard input, a built corpus."""

import io
import json
import sys

import pytest

from corpus_builder.shards import read_rows
from hub_model.containers import streams_of
from speech_emotion.cli.main import main
from speech_emotion.predict.clips import Recordings, find_recordings
from tests.helpers.containers import CODECS, decoded_seconds, needs_ffmpeg, write_containers
from tests.helpers.sounds import voice


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    write_containers(folder, voice(1.7, seed=3))
    return {folder / name: decoded_seconds(folder / name) for name in CODECS}


@needs_ffmpeg
def test_a_folder(files, model_folder, capsys):
    asked = ["--model", str(model_folder), "--segments", "--format", "json", "--no-speech-check"]
    assert main(["predict", str(next(iter(files)).parent), *asked]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["file"] for row in found} == set(map(str, files))
    for row in found:
        expected = next(length for path, length in files.items() if str(path) == row["file"])
        assert row["seconds"] == pytest.approx(expected, abs=0.05), row["file"]


@needs_ffmpeg
def test_standard_input(files, classifier, monkeypatch):
    for path, expected in files.items():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        (row,) = classifier(
            Recordings(find_recordings(["-"])), return_segments=True, check_speech=False
        )
        assert row["seconds"] == pytest.approx(expected, abs=0.05), path


@needs_ffmpeg
@pytest.mark.parametrize("head", [b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftyp"])
def test_what_looks_like_mpeg_inside_a_container_is_no_stream(head):
    inside = b"\xff\xfb\x90\x64" + bytes(413)  # a whole frame at 128 kbit/s
    assert len(streams_of(inside * 8)[0]) == 1
    assert streams_of(head + bytes(20) + inside * 8) == ([], [])


def test_a_corpus(files, tmp_path):
    rows = [f"{path},{('sad', 'happy')[i % 2]},s{i // 2}" for i, path in enumerate(files)]
    table, out = tmp_path / "clips.csv", tmp_path / "out"
    table.write_text("\n".join(["path,emotion,speaker", *rows]))
    options = ["--no-denoise", "--no-trim", "--config=natural", "--workers=1"]
    assert main(["corpus", "build", f"--source=csv={table}", f"--out={out}", *options]) == 0
    built = [row for part in read_rows(out, "natural").values() for row in part]
    found = {row["utterance_id"].rpartition("--")[2].removeprefix("csv-"): row for row in built}
    missing = {path.name for path in files} - found.keys()
    with (out / "rejected.csv").open() as file:
        rejected = file.read()
    # The same samples in another lossless container are a duplicate.
    assert all(f"{name},".encode() in rejected.encode() for name in missing)
    assert rejected.count("duplicate") == rejected.count("\n") - 1 == len(missing)
    for path, expected in files.items():
        if path.name in found:
            assert found[path.name]["duration"] == pytest.approx(expected, abs=0.05), path

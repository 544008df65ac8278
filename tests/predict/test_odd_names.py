"""Names and terminals as they are: not UTF-8, linked folders, no recordings, `| head`."""

import json
import os
import subprocess
import sys

import pandas
import pytest

from speech_emotion.cli.main import main
from speech_emotion.predict.clips import find_recordings
from speech_emotion.predict.writers import chart
from tests.helpers.sounds import encode, voice


@pytest.fixture
def folder(tmp_path):
    """Three recordings; the name of one is Latin-1."""
    place = tmp_path / "in"
    place.mkdir()
    for name in (b"a.wav", b"b\xe9.wav", b"z.wav"):
        with open(os.path.join(os.fsencode(place), name), "wb") as file:
            file.write(encode(voice(1.0)))
    return place


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_name_that_is_not_utf8_stops_nothing(folder, model_folder, tmp_path, kind, capfd):
    out = tmp_path / f"out.{kind}"
    command = ["predict", str(folder), "--model", str(model_folder), "--transcriber", "none"]
    command += ["--format", kind, "--out", str(out)]
    assert main(command) == 0
    written = out.read_bytes()
    assert written.count(b"\n") == (3 if kind == "json" else 4)
    if kind == "json":
        names = {json.loads(line)["file"] for line in written.decode("utf-8").split("\n")[:-1]}
        found = {recording.name for recording in find_recordings([str(folder)])}
        assert names == {name.encode(errors="backslashreplace").decode() for name in found}
        assert len(pandas.read_json(out, lines=True)) == 3
    assert main([*command, "--resume"]) == 0
    assert out.read_bytes() == written
    capfd.readouterr()


def test_linked_folders_are_searched_once(folder, tmp_path):
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "2024").symlink_to(folder)
    (folder / "above").symlink_to(tmp_path / "calls")
    assert len(find_recordings([str(tmp_path / "calls")])) == 3


def test_what_is_left_out_of_a_folder_is_said_in_a_line(folder):
    (folder / "notes.txt").write_text("no recording")
    (folder / "README").write_text("no recording")
    lines = []
    assert len(find_recordings([str(folder)], on_note=lines.append)) == 3
    assert len(lines) == 1 and "1 .txt" in lines[0] and "\n" not in lines[0]


def test_bars_of_a_terminal_without_blocks(monkeypatch):
    class Ascii:
        encoding = "ascii"

    monkeypatch.setattr(chart.sys, "stdout", Ascii())
    result = {"emotions": [{"label": "sad", "score": 1.0}], "transcript": None, "note": None}
    chart.as_chart("a.wav", {**result, "modalities": ["audio"]}).encode("ascii")


def test_a_reader_that_goes_away_ends_the_command_without_a_word(folder, model_folder):
    command = [sys.executable, "-m", "speech_emotion", "predict", str(folder), "--format", "json"]
    command += ["--model", str(model_folder), "--transcriber", "none", "--batch-size", "1"]
    predict = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert predict.stdout and predict.stderr
    predict.stdout.close()
    error = predict.stderr.read().decode()
    assert predict.wait() == 141, error
    assert "Error" not in error and "Traceback" not in error

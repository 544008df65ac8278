"""``speech-emotion predict`` goes on after a stop, and mixes no results."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speech_emotion.cli.main import main
from tests.helpers.predict_command import rows_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_rows_that_are_there_are_kept(predict, folder, tmp_path, kind):
    whole, out = tmp_path / "whole", tmp_path / "out"
    predict(folder, "--format", kind, "--out", whole)
    text = whole.read_text()
    # A process that was killed in the middle of a line.
    out.write_text(text[: len(text) // 2])
    code, _, errors = predict(folder, "--format", kind, "--out", out, "--resume")
    assert code == 1 and len([line for line in errors if "from before" not in line]) < 4
    files = [line[:60].split('"')[3] if kind == "json" else line.split(",")[0] for line in
             text.splitlines()]  # fmt: skip
    found = out.read_text().splitlines()
    assert len(found) == len(files)
    # What was there is there still, to the last byte.
    assert out.read_text().startswith(text[: len(text) // 2].rpartition("\n")[0])
    before = out.read_bytes()
    code, _, errors = predict(folder, "--format", kind, "--out", out, "--resume")
    assert code == 1 and out.read_bytes() == before
    assert errors[-1].endswith("recordings with an error from before, which are not tried again")


@pytest.mark.parametrize(
    "options", [(), ("--segments", "--window-s", 1)], ids=["whole", "segments"]
)
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_results_of_another_model_are_not_mixed(
    predict, model_folder, folder, tmp_path, kind, options
):
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(settings | {"logit_bias": [9.0] + [0.0] * 6}))
    out, some = tmp_path / "out", [folder / "a" / "clip01.wav", folder / "a" / "clip03.wav"]
    asked = ["--format", kind, "--out", out, *options]
    assert predict(*some, *asked)[0] == 0
    before = out.read_bytes()
    code, _, errors = predict(folder, *asked, "--resume", model=other)
    assert code == 2 and "holds results of another model or of other options" in errors[-1]
    assert before.startswith(out.read_bytes())
    assert predict(*some, *asked, "--resume")[0] == 0 and out.read_bytes() == before


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_run_goes_on_when_what_it_has_done_is_gone(predict, folder, tmp_path, kind):
    done, left = tmp_path / "done.wav", folder / "a" / "clip03.wav"
    done.write_bytes((folder / "a" / "clip01.wav").read_bytes())
    out = tmp_path / "out"
    assert predict(done, "--format", kind, "--out", out)[0] == 0
    before = out.read_bytes()
    done.unlink()
    assert predict(done, left, "--format", kind, "--out", out, "--resume")[0] == 0
    assert out.read_bytes().startswith(before) and str(left) in out.read_text()


@pytest.mark.parametrize("more", [("--segments", "--window-s", 1), ("--top-k", 2)])
def test_results_of_other_options_are_not_mixed(predict, folder, tmp_path, more):
    out = tmp_path / "out.jsonl"
    asked = [folder / "a" / "clip01.wav", "--format", "json", "--out", out]
    assert predict(*asked)[0] == 0
    before = out.read_bytes()
    code, _, errors = predict(*asked, "--resume", *more)
    assert code == 2 and "holds results of" in errors[-1] and out.read_bytes() == before


def test_the_table_that_is_written_can_be_read(predict, folder, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    files = [folder / "a" / "clip01.wav", folder / "a" / "clip01.wav"]
    assert predict(*files, "--format", "csv", "--out", first)[0] == 0
    assert predict(first, "--format", "csv", "--out", second)[0] == 0
    assert second.read_text() == first.read_text()


def test_the_segments_of_a_killed_recording_are_done_again(predict, talk, folder, tmp_path):
    files = [talk, folder / "a" / "clip01.wav"]
    options = ["--format", "csv", "--segments", "--window-s", 1]
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict(*files, *options, "--out", whole)
    lines = whole.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:3]))
    assert predict(*files, *options, "--out", out, "--resume")[0] == 0
    assert out.read_text() == whole.read_text()


def test_a_file_that_is_there_is_not_written_over(predict, folder, tmp_path):
    out = tmp_path / "rows.csv"
    out.write_text("mine\n")
    code, _, errors = predict(folder, "--format", "csv", "--out", out)
    assert code == 2 and "exists; continue it with --resume" in errors[-1]
    code, _, errors = predict(folder, "--format", "csv", "--out", out, "--resume")
    assert code == 2 and "has other columns" in errors[-1]
    code, _, errors = predict(folder, "--format", "json", "--out", out, "--resume")
    assert code == 2 and "not JSON lines" in errors[-1]
    assert out.read_text() == "mine\n"


@pytest.mark.slow
def test_a_kill_loses_nothing_that_was_written(model_folder, folder, tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    files = [str(path) for path in sorted(folder.rglob("clip0[0-4].wav"))]
    slow = tmp_path / "slow.wav"
    os.mkfifo(slow)  # nobody writes into it: the command waits here
    arguments = ["predict", *files, str(slow), "--model", str(model_folder)]
    arguments += ["--format", "json", "--out", str(out), "--batch-size", "1"]
    command = [sys.executable, "-m", "speech_emotion", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not out.exists() or len(out.read_text().splitlines()) < 4:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = out.read_text()
    slow.unlink()
    slow.write_bytes(Path(files[0]).read_bytes())
    assert main([*arguments, "--resume"]) == 0, capsys.readouterr().err
    assert out.read_text().startswith(before)
    assert list(rows_of(out)) == [*files, str(slow)]

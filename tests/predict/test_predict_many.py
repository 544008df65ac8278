"""``speech-emotion predict`` on folders: every format, errors, resuming, other models."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    pipeline,
)

from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.cli.main import main
from tests.helpers.answers import same
from tests.helpers.sounds import encode, noise, tone, voice
from tests.helpers.tiny_models import HUBERT

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """20 files in two folders, 4 of them bad, and one that is no recording: 5 lines of errors."""
    root = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    for place in range(20):
        path = root / ("a" if place % 2 else "b") / f"clip{place:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(tone(200 + 30 * place, rng.uniform(0.2, 0.9), seed=place)))
    (root / "a" / "clip05.wav").write_bytes(b"no audio")
    (root / "a" / "clip11.wav").write_bytes(b"")
    (root / "b" / "clip12.wav").write_bytes(encode(np.zeros(9000, dtype=np.float32)))
    (root / "b" / "clip18.wav").write_bytes(encode(noise(1)))
    (root / "notes.txt").write_text("no recording")
    return root


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    """16 s: a voice, silence, another voice."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    silence = np.zeros(8 * 16_000, dtype=np.float32)
    parts = [voice(4), silence, voice(4, pitch=250, seed=1)]
    path.write_bytes(encode(np.concatenate(parts)))
    return path


@pytest.fixture
def predict(model_folder, capsys):
    def run(*arguments, model=model_folder):
        code = main(["predict", *map(str, arguments), "--model", str(model)])
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("speech-emotion: ")]
        return code, captured.out, errors

    return run


def rows_of(path: Path) -> dict[str, dict]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["file"] for row in rows}) == len(rows)
    return {row.pop("file"): row for row in rows}


@pytest.mark.parametrize(("batch_size", "workers"), [(1, "auto"), (8, 0), (5, 2)])
def test_a_folder_with_bad_files(predict, folder, tmp_path, classifier, batch_size, workers):
    out = tmp_path / "rows.jsonl"
    code, shown, errors = predict(
        *(folder, "--format", "json", "--out", out),
        *("--batch-size", batch_size, "--workers", workers),
    )
    assert (code, shown, len(errors)) == (1, "", 5)
    assert "1 .txt" in errors[0]
    rows = rows_of(out)
    assert list(rows) == sorted(str(path) for path in folder.rglob("*.wav"))
    bad = [file for file, row in rows.items() if "error" in row]
    assert [Path(file).stem for file in bad] == ["clip05", "clip11", "clip12", "clip18"]
    for file in (file for file in list(rows)[:4] if file not in bad):
        same(rows[file]["emotions"], classifier(file))


def test_names_of_every_kind(predict, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    standard_input(monkeypatch, b"b/clip00.wav\n\nb/clip02.wav\n")
    code, shown, _ = predict("a/clip0[13].wav", "-", "b/clip00.wav", "--format", "json")
    assert code == 0
    files = [json.loads(line)["file"] for line in shown.splitlines()]
    assert files == ["a/clip01.wav", "a/clip03.wav", "b/clip00.wav", "b/clip02.wav"]
    code, shown, errors = predict("b/clip00.wav", "c/*.wav", tmp_path, "--format", "json")
    assert code == 1 and len(shown.splitlines()) == 1 and len(errors) == 2


def standard_input(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_recording_on_standard_input(predict, folder, monkeypatch):
    file = folder / "a" / "clip01.wav"
    standard_input(monkeypatch, file.read_bytes())
    code, shown, errors = predict("-", "--format", "json")
    assert (code, errors) == (0, [])
    _, expected, _ = predict(file, "--format", "json")
    assert json.loads(shown) == json.loads(expected) | {"file": "-"}
    standard_input(monkeypatch, encode(noise(1)))
    code, _, errors = predict("-", file)
    assert code == 1 and errors == ["speech-emotion: -: no speech was found, only noise"]


@pytest.fixture
def table(folder) -> Path:
    """A table as a spreadsheet writes it, beside the folder."""
    path = folder.parent / "calls.csv"
    rows = ["a\\clip01.wav;Hello;anna", "a\\clip03.wav;;ben", "b\\clip02.wav;;anna"]
    rows += ["a\\clip05.wav;;ben", "b\\none.wav;;ben", "a\\clip01.wav;again;x", "b\\clip04.wav"]
    rows = [f"{folder.name}\\{row}" for row in rows]
    path.write_text("\r\n".join(["Path;Transcript;SPEAKER", *rows]), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_table(predict, folder, table, tmp_path, classifier, workers):
    out = tmp_path / "rows.jsonl"
    asked = [table, "--format", "json", "--out", out, "--workers", workers]
    code, shown, errors = predict(*asked)
    rows = rows_of(out)
    assert code == 1 and [row["speaker"] for row in rows.values()] == [
        "anna", "ben", "anna", "ben", "ben", "",
    ]  # fmt: skip
    first = str(folder / "a" / "clip01.wav")
    same(rows[first]["emotions"], classifier(first, text="Hello"))
    assert rows[first]["transcript_source"] == "given"
    assert len(errors) == 3 and "line 7" in errors[0] and "listed before" in errors[0]
    summary = {line.split()[0]: line.split() for line in shown.splitlines() if line[:1].strip()}
    assert summary["anna"][1] == "2" and summary["ben"][1:3] == ["3", "2"]
    assert "(unknown)" in summary
    out = tmp_path / "rows.csv"
    assert predict(table, "--format", "csv", "--out", out)[0] == 1
    with out.open(newline="") as file:
        speakers = [row["speaker"] for row in csv.DictReader(file)]
    assert speakers == ["anna", "ben", "anna", "ben", "ben", ""]


def test_a_table_with_segments_does_not_use_its_transcripts(predict, table):
    code, shown, errors = predict(table, "--segments", "--format", "csv")
    assert code == 1 and "transcripts of the table" in "".join(errors)
    assert shown.startswith("file,speaker,start,end,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing*.wav"], "nothing*.wav: no file matches"),
        (["-"], "-: nothing was read from standard input"),
        (["a.wav", "--resume"], "--resume needs --out"),
        (["a.wav", "--out", "x.csv"], "--out needs one of --format"),
        (["a.wav", "--window-s", "3"], "window_s needs return_segments=True"),
        (["a.wav", "--segments", "--smoothing", "2"], "smoothing must be 1, 3, 5"),
        (["a.wav", "--windows"], "--windows needs --segments and --format csv"),
        (["a.wav", "b.wav", "--text", "hello"], "--text is the transcript of one clip"),
        (["a.wav", "b.wav", "--format", "srt"], "--format srt of several clips needs --out"),
        (["a.wav", "--labels", "five"], "the model has no five"),
        (["a.wav", "--labels", "bored=sad"], "the model has no bored"),
        (["a.wav", "--top-k", "0"], "top_k must be at least 1"),
        (["a.wav", "--abstain-below", "2"], "abstain_below must be 0 to 1"),
        (["a.wav", "--workers", "-1"], "--workers must be 0 or more"),
    ],
)
def test_what_cannot_be_done_is_one_line(predict, monkeypatch, arguments, message):
    standard_input(monkeypatch, b"")
    code, shown, errors = predict(*arguments)
    assert (code, shown, len(errors)) == (2, "", 1)
    assert message in errors[0]


def test_csv(predict, folder, tmp_path, classifier):
    out = tmp_path / "rows.csv"
    options = ["--labels", "happy=positive,calm=positive,disgust=", "--contributions"]
    options += ["--dimensions"]
    code, _, _ = predict(folder, "--format", "csv", "--out", out, *options, "--abstain-below", 0.9)
    assert code == 1
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 20 and sum(bool(row["error"]) for row in rows) == 4
    names = {"happy": "positive", "calm": "positive", "disgust": None}
    for row in (row for row in rows[:4] if not row["error"]):
        expected = classifier(row["file"], labels=names)
        for entry in expected:
            assert float(row[entry["label"]]) == pytest.approx(entry["score"], abs=1e-4)
        sure = expected[0]["score"] >= 0.9
        assert row["label"] == (expected[0]["label"] if sure else "")
        assert float(row["moved_text"]) == 0 and row["text_sad"] == ""
        assert float(row["audio_sad"]) == pytest.approx(float(row["sad"]))
        place = classifier(row["file"], dimensions=True)["dimensions"]
        assert float(row["valence"]) == pytest.approx(place["valence"], abs=1e-4)


def test_many_clips_on_the_screen_are_a_line_each(predict, folder):
    code, shown, errors = predict(folder)
    lines = shown.splitlines()
    assert code == 1 and len(lines) == 16 and len(errors) == 5
    assert lines[0].endswith(str(folder / "a" / "clip01.wav"))
    assert lines[0].split()[0] in EMOTIONS and lines[0].split()[1].endswith("%")


# Long recordings.


def test_segments_as_tables(predict, talk, tmp_path, classifier):
    expected = classifier(talk, return_segments=True, window_s=2, smoothing=1)
    options = ["--segments", "--window-s", 2, "--smoothing", 1, "--format", "csv"]
    _, shown, _ = predict(talk, *options)
    for row, segment in zip(csv.DictReader(io.StringIO(shown)), expected["segments"], strict=True):
        assert float(row["start"]) == segment["start"] and float(row["end"]) == segment["end"]
        assert row["label"] == segment["label"]
    _, shown, _ = predict(talk, *options, "--windows")
    for row, window in zip(csv.DictReader(io.StringIO(shown)), expected["windows"], strict=True):
        assert row["label"] == window["label"]
        for name in EMOTIONS:
            if window["scores"] is None:
                assert row[name] == ""
            else:
                assert float(row[name]) == pytest.approx(window["scores"][name], abs=1e-4)
    _, shown, _ = predict(talk, *options[:-2])
    assert "00:00:04.500 - 00:00:11.500  no speech" in shown and "as a whole" in shown


def test_subtitles(predict, talk, classifier):
    segments = classifier(talk, return_segments=True)["segments"]
    spoken = [segment for segment in segments if segment["label"] != "no speech"]
    assert len(spoken) < len(segments)
    _, srt, _ = predict(talk, "--format", "srt")
    blocks = srt.strip().split("\n\n")
    assert len(blocks) == len(spoken)
    assert blocks[0].splitlines()[0] == "1"
    assert blocks[0].splitlines()[1].startswith("00:00:00,000 --> 00:00:0")
    assert blocks[0].splitlines()[2].startswith(spoken[0]["label"])
    _, vtt, _ = predict(talk, "--format", "vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
    _, labels, _ = predict(talk, "--format", "audacity")
    for line, segment in zip(labels.splitlines(), segments, strict=True):
        start, end, label = line.split("\t")
        assert (float(start), float(end)) == (segment["start"], segment["end"])
        assert label.startswith(segment["label"])


def test_subtitles_of_a_folder(predict, talk, folder, tmp_path):
    out = tmp_path / "subtitles"
    files = [folder / "a" / "clip01.wav", folder / "b" / "clip02.wav", folder / "a" / "clip05.wav"]
    code, _, errors = predict(*files, "--format", "vtt", "--out", out)
    assert code == 1 and len(errors) == 1
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.vtt"))
    assert found == ["a/clip01.vtt", "b/clip02.vtt"]
    code, _, errors = predict(*files, "--format", "vtt", "--out", out)
    assert code == 2 and "exists; continue it with --resume" in errors[0]
    (out / "a" / "clip01.vtt").write_text("kept")
    assert predict(*files, "--format", "vtt", "--out", out, "--resume")[0] == 1
    assert (out / "a" / "clip01.vtt").read_text() == "kept"
    code, _, _ = predict(talk, "--format", "srt", "--out", tmp_path / "one.srt")
    assert code == 0 and (tmp_path / "one.srt").read_text().startswith("1\n")


# Resuming.


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


# Other models.


def test_a_stock_checkpoint_answers_as_the_stock_pipeline(predict, folder, tmp_path):
    model = tmp_path / "stock"
    torch.manual_seed(0)
    config = {name: value for name, value in HUBERT.items() if name != "model_type"}
    labels = dict(enumerate(("neutral", "happy", "angry", "sad")))
    plain = HubertForSequenceClassification(HubertConfig(**config, id2label=labels))
    torch.nn.init.normal_(plain.classifier.weight)
    plain.save_pretrained(model)
    Wav2Vec2FeatureExtractor().save_pretrained(model)
    stock = pipeline("audio-classification", model=str(model))
    out = tmp_path / "rows.jsonl"
    code, _, errors = predict(folder, "--format", "json", "--out", out, model=model)
    assert code == 1 and len(errors) == 5
    for file, row in rows_of(out).items():
        if "error" not in row:
            same(row["emotions"], stock(load_audio(file), top_k=None))
            assert row["modalities"] == ["audio"]
    code, shown, _ = predict(folder / "a" / "clip01.wav", "--labels", "happy,sad", model=model)
    assert code == 0 and "happy" in shown and "angry" not in shown

"""``speech-emotion predict`` on folders: every format, errors, other models."""

import csv
import io
import json
import sys
from pathlib import Path

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
from tests.helpers.answers import same
from tests.helpers.predict_command import rows_of
from tests.helpers.sounds import encode, noise
from tests.helpers.tiny_models import HUBERT


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

"""TextGrid, EAF, RTTM, Label Studio and parquet, each read back by the library of its users."""

import json
from pathlib import Path
from urllib.parse import unquote, urlparse

import jsonschema
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pympi
import pytest
from praatio import textgrid
from pyannote.database.util import load_rttm

from speech_emotion.cli.main import main
from speech_emotion.predict import FORMATS
from speech_emotion.predict.writers import ONE_EACH
from speech_emotion.predict.writers.eaf import as_eaf
from speech_emotion.predict.writers.labelstudio import as_labelstudio
from speech_emotion.predict.writers.rttm import as_rttm
from speech_emotion.predict.writers.textgrid import as_textgrid
from tests.helpers.refusals import refusal
from tests.helpers.sounds import CLIPS, encode, voice


def part(start, end, label, score, text, speaker=None):
    found = {"start": start, "end": end, "label": label, "score": score, "transcript": text}
    return found if speaker is None else {"speaker": speaker, **found}


ALONE = {
    "emotions": [{"label": "happy", "score": 0.6}],
    "seconds": 8.0,
    "segments": [
        part(0.0, 2.5, "happy", 0.5144, 'so "good" & <fine>\x07'),
        part(2.5, 4.0, "no speech", None, None),
        part(4.0, 6.0, None, 0.3, None),
        part(6.0, 8.0, "sad", 0.9, "ну вот"),
    ],
}

CALL = {
    "emotions": [{"label": "calm", "score": 0.5}],
    "seconds": 10.0,
    "segments": [
        part(0.0, 3.0, "calm", 0.8, "hello", "agent"),
        part(0.0, 1.0, "no speech", None, None, "the customer"),
        part(1.0, 6.0, "angry", 0.7, "no", "the customer"),
        part(3.0, 10.0, "sad", 0.6, "sorry", "agent"),
        part(5.5, 7.0, "fearful", 0.5, "what", "the customer"),
    ],
}

SILENT = {"emotions": [], "seconds": 3.0, "segments": [part(0.0, 3.0, "no speech", None, None)]}


def in_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read_grid(folder: Path, result) -> textgrid.Textgrid:
    path = in_file(folder, "a.TextGrid", as_textgrid(result))
    return textgrid.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")


def test_textgrid_of_one_speaker(tmp_path):
    grid = read_grid(tmp_path, ALONE)
    assert grid.tierNames == ("emotion", "emotion score", "emotion transcript")
    assert grid.maxTimestamp == 8.0
    assert [tuple(entry) for entry in grid.getTier("emotion").entries] == [
        (0.0, 2.5, "happy"),
        (2.5, 4.0, ""),
        (4.0, 6.0, "unsure"),
        (6.0, 8.0, "sad"),
    ]
    assert [entry.label for entry in grid.getTier("emotion score").entries] == [
        "0.514",
        "",
        "0.300",
        "0.900",
    ]
    texts = [entry.label for entry in grid.getTier("emotion transcript").entries]
    assert texts[0].startswith('so "good" & <fine>') and texts[-1] == "ну вот"


def test_textgrid_has_a_tier_for_each_speaker(tmp_path):
    grid = read_grid(tmp_path, CALL)
    labels = {
        name: [tuple(e) for e in grid.getTier(name).entries if e.label]
        for name in grid.tierNames
        if not name.endswith(("score", "transcript"))
    }
    assert labels == {
        "agent": [(0.0, 3.0, "calm"), (3.0, 10.0, "sad")],
        "the customer": [(1.0, 6.0, "angry")],
        "the customer 2": [(5.5, 7.0, "fearful")],
    }


def test_textgrid_without_speech(tmp_path):
    grid = read_grid(tmp_path, SILENT)
    assert [tuple(entry) for entry in grid.getTier("emotion").entries] == [(0.0, 3.0, "")]


def test_eaf_of_one_speaker(tmp_path):
    text = as_eaf(str(tmp_path / "a b.wav"), ALONE)
    eaf = pympi.Eaf(str(in_file(tmp_path, "a.eaf", text)))
    assert list(eaf.get_tier_names()) == ["emotion", "score@emotion", "transcript@emotion"]
    assert sorted(row[:3] for row in eaf.get_annotation_data_for_tier("emotion")) == [
        (0, 2500, "happy"),
        (4000, 6000, "unsure"),
        (6000, 8000, "sad"),
    ]
    words = sorted(eaf.get_ref_annotation_data_for_tier("transcript@emotion"))
    assert [row[:4] for row in words] == [
        (0, 2500, 'so "good" & <fine>', "happy"),
        (6000, 8000, "ну вот", "sad"),
    ]
    url = eaf.get_linked_files()[0]["MEDIA_URL"]
    assert unquote(urlparse(url).path) == str(tmp_path / "a b.wav")


def test_eaf_has_a_tier_for_each_speaker(tmp_path):
    eaf = pympi.Eaf(str(in_file(tmp_path, "a.eaf", as_eaf("-", CALL))))
    parents = [name for name in eaf.get_tier_names() if "@" not in name]
    assert parents == ["agent", "the customer", "the customer 2"]
    assert eaf.get_parameters_for_tier("the customer 2")["PARTICIPANT"] == "the customer"
    assert sorted(row[:3] for row in eaf.get_annotation_data_for_tier("agent")) == [
        (0, 3000, "calm"),
        (3000, 10000, "sad"),
    ]
    assert eaf.get_linked_files() == []
    assert pympi.Eaf(str(in_file(tmp_path, "b.eaf", as_eaf("-", SILENT)))).get_tier_names()


def test_rttm(tmp_path):
    text = as_rttm("calls/a call.wav", CALL) + as_rttm("b.wav", ALONE)
    found = load_rttm(in_file(tmp_path, "a.rttm", text))
    assert set(found) == {"a_call", "b"}
    turns = [(s.start, s.end, name) for s, _, name in found["a_call"].itertracks(yield_label=True)]
    assert turns == [
        (0.0, 3.0, "agent"),
        (1.0, 6.0, "the_customer"),
        (3.0, 10.0, "agent"),
        (5.5, 7.0, "the_customer"),
    ]
    assert found["b"].labels() == ["b"]
    fields = [line.split(" ") for line in text.splitlines()]
    assert {len(line) for line in fields} == {10}
    assert [line[6] for line in fields] == [
        "calm",
        "angry",
        "sad",
        "fearful",
        "happy",
        "unsure",
        "sad",
    ]
    assert as_rttm("c.wav", SILENT) == ""


REGION = {
    "type": "object",
    "required": ["id", "from_name", "to_name", "type", "value"],
    "properties": {
        "type": {"enum": ["labels", "textarea"]},
        "to_name": {"const": "audio"},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "value": {
            "required": ["start", "end"],
            "properties": {
                "start": {"type": "number"},
                "end": {"type": "number"},
                "channel": {"type": "integer"},
                "labels": {"type": "array", "items": {"type": "string"}},
                "text": {"type": "array", "items": {"type": "string"}},
            },
            "additionalProperties": False,
        },
    },
}
"""A region of audio, as Label Studio documents it for import."""

TASKS = {
    "type": "array",
    "items": {
        "required": ["data", "predictions"],
        "properties": {
            "data": {"type": "object", "required": ["audio"]},
            "predictions": {
                "type": "array",
                "items": {
                    "required": ["result", "model_version"],
                    "properties": {"result": {"type": "array", "items": REGION}},
                },
            },
        },
    },
}


@pytest.mark.parametrize("result", [ALONE, CALL, SILENT])
def test_labelstudio(result):
    tasks = json.loads(as_labelstudio("a.wav", result))
    jsonschema.validate(tasks, TASKS)
    (task,) = tasks
    assert task["data"] == {"audio": "a.wav"}
    regions = task["predictions"][0]["result"]
    told = {name: {} for name in ("emotion", "transcript", "speaker")}
    for region in regions:
        value = region["value"]
        (told[region["from_name"]][region["id"]],) = value.get("labels") or value["text"]
    spoken = [part for part in result["segments"] if part["label"] != "no speech"]
    assert list(told["emotion"].values()) == [part["label"] or "unsure" for part in spoken]
    assert list(told["transcript"].values()) == [p["transcript"] for p in spoken if p["transcript"]]
    assert list(told["speaker"].values()) == [p["speaker"] for p in spoken if "speaker" in p]


# The command.


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, clip in zip(("a.wav", "b.wav"), CLIPS, strict=False):
        (folder / name).write_bytes(encode(clip))
    stereo = np.stack([voice(4), voice(4, pitch=210, seed=1)], axis=1)
    (folder / "call.wav").write_bytes(encode(stereo))
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture
def predict(model_folder, capsys):
    def run(*arguments):
        code = main(["predict", *map(str, arguments), "--model", str(model_folder), "-q"])
        return code, capsys.readouterr().out

    return run


def test_every_format_is_listed():
    assert set(ONE_EACH) | {"table", "json", "csv", "parquet"} == set(FORMATS)


@pytest.mark.parametrize("kind", ["textgrid", "eaf", "labelstudio", "rttm"])
def test_a_file_for_each_recording(predict, clips, tmp_path, kind):
    suffix = ONE_EACH[kind][0]
    arguments = ["--format", kind, "--out", tmp_path / "new"]
    code, _ = predict(clips / "a.wav", clips / "bad.wav", clips / "b.wav", *arguments)
    assert code == 1
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"a{suffix}",
        f"b{suffix}",
    ]
    code, shown = predict(clips / "call.wav", "--format", kind, "--speakers", "agent,customer")
    assert code == 0 and "agent" in shown and "customer" in shown


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--segments"],
        ["--segments", "--windows"],
        ["--speakers", "agent,customer"],
        ["--speakers", "agent,customer", "--windows"],
    ],
)
def test_parquet_is_the_table_of_csv(predict, clips, tmp_path, options):
    names = [clips / name for name in ("a.wav", "bad.wav", "call.wav")]
    for kind in ("csv", "parquet"):
        code, _ = predict(*names, "--format", kind, "--out", tmp_path / f"x.{kind}", *options)
        assert code == 1
    expected, found = pd.read_csv(tmp_path / "x.csv"), pd.read_parquet(tmp_path / "x.parquet")
    assert list(found) == list(expected) and len(found) >= 3
    for name in expected:
        column = found[name].tolist()
        for one, other in zip(column, expected[name].tolist(), strict=True):
            assert one == other or (pd.isna(one) and pd.isna(other))
    kinds = pq.read_schema(tmp_path / "x.parquet")
    assert str(kinds.field("score").type) == "double" and str(kinds.field("file").type) == "string"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.csv", "x.parquet"]
    arguments = ["--format", "parquet", "--out", tmp_path / "x.parquet", *options, "--resume"]
    predict(*names, clips / "b.wav", *arguments)
    more = pd.read_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(more[: len(found)], found)


def test_parquet_goes_on(predict, clips, tmp_path, capsys, model_folder):
    out, whole = tmp_path / "x.parquet", tmp_path / "whole.parquet"
    three = [clips / "a.wav", clips / "bad.wav", clips / "b.wav"]
    predict(*three[:2], "--format", "parquet", "--out", out)
    again = ["predict", *map(str, three), "--format", "parquet", "--model", str(model_folder)]
    assert "--resume" in refusal(capsys, main, [*again, "--out", str(out)])
    predict(*three, "--format", "parquet", "--out", out, "--resume")
    predict(*three, "--format", "parquet", "--out", whole)
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(whole))
    assert "--out" in refusal(capsys, main, again)
    whole.write_bytes(b"junk")
    assert "parquet" in refusal(capsys, main, [*again, "--out", str(whole), "--resume"])


def test_a_stopped_run_to_parquet_loses_nothing(predict, clips, tmp_path):
    out, part, table = (tmp_path / name for name in ("x.parquet", "x.parquet.part", "x.csv"))
    predict(clips / "a.wav", "--format", "csv", "--out", table)
    table.replace(part)
    code, _ = predict(
        clips / "a.wav", clips / "b.wav", "--format", "parquet", "--out", out, "--resume"
    )
    assert code == 0 and not part.exists()
    files = pq.read_table(out)["file"].to_pylist()
    assert files == [str(clips / "a.wav"), str(clips / "b.wav")]

"""Turns of speakers: windows within them, overlap, summaries, and what makes no sense."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE
from hub_model.timeline import Timeline
from hub_model.turns import Turn, place_of, turns_of
from speech_emotion.cli.main import main
from tests.helpers.answers import load
from tests.helpers.sounds import voice

TURNS = [
    {"start": 0.0, "end": 5.0, "speaker": "agent"},
    {"start": 4.0, "end": 7.5, "speaker": "customer"},
    {"start": 9.0, "end": 10.5, "speaker": "agent"},
]
ASKED = {"return_segments": True, "window_s": 2.0, "clean": False}


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    path = tmp_path_factory.mktemp("turns") / "call.wav"
    soundfile.write(path, voice(11.0), SAMPLING_RATE, subtype="FLOAT")
    return path


def test_windows_are_cut_within_turns():
    samples = np.arange(11 * SAMPLING_RATE, dtype=np.float32)
    turns = turns_of(TURNS)
    for block in (3 * SAMPLING_RATE, 20 * SAMPLING_RATE):
        blocks = (samples[at : at + block] for at in range(0, samples.size, block))
        found = list(Timeline(window_s=2).cut(blocks, turns))
        for place, turn in enumerate(turns):
            mine = [(s, w) for number, s, w in found if number == place]
            first, last = round(turn.start * SAMPLING_RATE), round(turn.end * SAMPLING_RATE)
            part = samples[first:last]
            expected = list(Timeline(window_s=2).cut([part]))
            assert [start for start, _ in mine] == [first + start for _, start, _ in expected]
            for (_, one), (_, _, other) in zip(mine, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_every_row_has_its_speaker(model_folder, call):
    classifier = load(model_folder, transcriber="none")
    row = classifier(call, speakers=TURNS, top_k=2, **ASKED)
    assert row["seconds"] == 11 and row["words"] is None and len(row["emotions"]) == 2
    for part in ("segments", "windows"):
        assert [line["start"] for line in row[part]] == sorted(s["start"] for s in row[part])
        for line in row[part]:
            assert any(
                turn["speaker"] == line["speaker"]
                and turn["start"] <= line["start"] < line["end"] <= turn["end"]
                for turn in TURNS
            )
            if line["speaker"] == "agent":
                expected = line["end"] > 4 and line["start"] < 7.5
            else:
                expected = line["start"] < 5
            assert line["overlap"] == expected
    # A turn is answered as a recording of its own.
    alone = classifier(voice(11.0)[4 * SAMPLING_RATE : round(7.5 * SAMPLING_RATE)], **ASKED)
    mine = [line for line in row["windows"] if line["speaker"] == "customer"]
    for line, other in zip(mine, alone["windows"], strict=True):
        assert line["scores"] == pytest.approx(other["scores"], abs=1e-4)
    assert [*row["speakers"]] == ["agent", "customer"]


def test_a_summary_of_each_speaker_and_the_file(model_folder, call):
    row = load(model_folder, transcriber="none")(call, speakers=TURNS, **ASKED)
    agent = [line for line in row["segments"] if line["speaker"] == "agent"]
    for summary, lines in ((row["speakers"]["agent"], agent), (row["summary"], row["segments"])):
        table = pd.DataFrame(lines)
        table = table[table["label"] != "no speech"]
        spoken = (table["end"] - table["start"]).groupby(table["label"]).sum()
        assert summary["seconds"] == pytest.approx(spoken.sum(), abs=1e-3)
        assert summary["shares"] == pytest.approx((spoken / spoken.sum()).to_dict())
    windows = [line for line in row["windows"] if line["scores"]]
    best = max(windows, key=lambda line: line["score"])
    strongest = row["summary"]["strongest"]
    assert {name: strongest[0][name] for name in ("speaker", "label", "score", "start")} == {
        name: best[name] for name in ("speaker", "label", "score", "start")
    }
    assert len({moment["label"] for moment in strongest}) == len(strongest)
    thirds = np.array_split([line["scores"]["sad"] for line in windows], 3)
    assert row["summary"]["trend"]["sad"] == pytest.approx([third.mean() for third in thirds])
    silent = load(model_folder, transcriber="none")(
        np.zeros(SAMPLING_RATE, dtype=np.float32), return_segments=True
    )
    assert silent["summary"] == {"seconds": 0, "shares": {}, "trend": None, "strongest": []}


def test_a_time_belongs_to_the_turn_that_has_the_floor():
    turns = [Turn(0, 5, "a"), Turn(4, 8, "b"), Turn(10, 12, "a")]
    assert [place_of(time, turns) for time in (2, 4.5, 6, 8.5, 9.5, 20)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"start": 0, "end": 1}], "a turn needs start, end and speaker"),
        ([{"start": 0, "end": "1", "speaker": "a"}], "at numbers of seconds"),
        ([{"start": 0, "end": float("nan"), "speaker": "a"}], "at numbers of seconds"),
        ([{"start": 0, "end": 1, "speaker": " "}], "the name of its speaker"),
        ([{"start": 2, "end": 2, "speaker": "a"}], "no length"),
        ([{"start": -1, "end": 2, "speaker": "a"}], "begins before the recording"),
        ([TURNS[0], {"start": 4, "end": 6, "speaker": "agent"}], "overlaps with that from 4.00 s"),
        ([TURNS[0], {"start": 9, "end": 12, "speaker": "a"}], "past its end, at 11.00 s$"),
        ([{"start": 30, "end": 31, "speaker": "a"}], "past its end, at 11.00 s$"),
    ],
)
def test_turns_that_make_no_sense_are_one_line(classifier, call, turns, message):
    with pytest.raises(ValueError, match=message) as error:
        classifier(call, speakers=turns, **ASKED)
    assert "\n" not in str(error.value)


def test_turns_are_those_of_one_recording(classifier, call):
    with pytest.raises(ValueError, match="one recording, so call it for each"):
        classifier([call, call], speakers=TURNS, **ASKED)


def rttm(name: str) -> str:
    lines = [(t["start"], t["end"] - t["start"], t["speaker"]) for t in TURNS]
    return "".join(f"SPEAKER {name} 1 {a} {d} <NA> <NA> {who} <NA> <NA>\n" for a, d, who in lines)


def test_the_command_reads_files_of_turns(model_folder, call, tmp_path, capsys):
    (tmp_path / "turns.rttm").write_text("; made\n" + rttm("call"))
    pd.DataFrame(TURNS).to_csv(tmp_path / "turns.csv", index=False)
    command = ["predict", str(call), "--model", str(model_folder), "--transcriber", "none"]
    answers = []
    for name in ("turns.rttm", "turns.csv"):
        asked = [*command, "--speakers", str(tmp_path / name), "--format"]
        assert main([*asked, "json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] and [*answers[0]["speakers"]] == ["agent", "customer"]
    assert main([*asked, "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(table["speaker"]) == {"agent", "customer"} and table["overlap"].dtype == bool
    assert main([*asked, "table"]) == 0
    shown = capsys.readouterr().out
    assert "agent: " in shown and "strongest at " in shown and "s of speech: " in shown


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("other.rttm", rttm("other"), "its turns are of other; expected"),
        ("a.rttm", rttm("call").replace("0.0 5.0", "x 5.0"), "line 1: a time is no number"),
        ("b.rttm", "start,end,speaker\n", "line 1 is no line of RTTM"),
        ("c.rttm", "", "holds no turns"),
        ("d.rttm", rttm("call") + rttm("call"), "overlaps with that from"),
        ("e.csv", "start,end\n0,1\n", "expected the columns start, end"),
        ("f.rttm", None, "cannot be read"),
    ],
)
def test_files_of_turns_that_make_no_sense_are_one_line(
    model_folder, call, tmp_path, capsys, name, text, message
):
    if text is not None:
        (tmp_path / name).write_text(text)
    command = ["predict", str(call), "--model", str(model_folder), "--transcriber", "none"]
    assert main([*command, "--speakers", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


def test_a_recording_without_turns_fails_alone(model_folder, call, tmp_path, capsys):
    other = tmp_path / "other.wav"
    soundfile.write(other, voice(2.0), SAMPLING_RATE)
    (tmp_path / "turns.rttm").write_text(rttm("call"))
    command = ["predict", str(call), str(other), "--model", str(model_folder), "--format", "json"]
    command += ["--transcriber", "none", "--speakers", str(tmp_path / "turns.rttm")]
    assert main(command) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert "other.wav: the file of --speakers has no turn of it" in shown.err

"""A speaker on each channel: kept apart when that is asked for, and noted when it is not."""

import csv
import io
import json

import numpy as np
import pytest
import soundfile

from hub_model.audio import SAMPLING_RATE, AudioError, decode
from hub_model.channels import TURNS_NOTE
from hub_model.recordings import turns_in
from speech_emotion.cli.main import main
from tests.helpers.answers import load
from tests.helpers.sounds import voice

WINDOW = {"return_segments": True, "window_s": 1.0, "hop_s": 1.0, "smoothing": 1}


def turns() -> np.ndarray:
    """Four seconds of the left speaker, then four of the right one: float32 ``(samples, 2)``."""
    left, right = voice(4.0), voice(4.0)[::-1]
    silence = np.zeros_like(left)
    both = np.stack([np.concatenate([left, silence]), np.concatenate([silence, right])], 1)
    return both.astype(np.float32)


@pytest.fixture
def call(tmp_path):
    path = tmp_path / "call.wav"
    soundfile.write(path, turns(), SAMPLING_RATE, subtype="FLOAT")
    return path


@pytest.fixture
def classifier(model_folder):
    return load(model_folder, transcriber="none")


def test_each_speaker_is_answered_as_a_recording_of_the_own_channel(classifier, call, tmp_path):
    found = classifier(call, speakers="channels", **WINDOW)
    assert [line["start"] for line in found["segments"]] == sorted(
        line["start"] for line in found["segments"]
    )
    for place, name in enumerate(("left", "right")):
        alone = tmp_path / f"{name}.wav"
        soundfile.write(alone, turns()[:, place], SAMPLING_RATE, subtype="FLOAT")
        spoken = [vars(turn) for turn in turns_in(str(alone), name)]
        expected = classifier(alone, speakers=spoken, **WINDOW)
        for part in ("segments", "windows"):
            assert [line for line in found[part] if line["speaker"] == name] == expected[part]
        assert found["speakers"][name] == expected["speakers"][name]
    assert sum(emotion["score"] for emotion in found["emotions"]) == pytest.approx(1)
    assert found["seconds"] == pytest.approx(8)


def test_segments_of_a_channel_are_its_speech(classifier):
    """Three utterances with pauses, far shorter than a window."""
    spoken = [(1.0, 2.0, 0), (2.5, 3.5, 1), (3.2, 4.0, 1), (6.0, 7.0, 0), (6.5, 7.5, 1)]
    call = np.random.default_rng(0).normal(0, 1e-3, (9 * SAMPLING_RATE, 2)).astype(np.float32)
    for start, end, channel in spoken:
        place = round(start * SAMPLING_RATE)
        sound = voice(end - start)
        call[place : place + sound.size, channel] += sound
    found = classifier(call, speakers="channels", return_segments=True)
    times = [(line["start"], line["end"], line["speaker"]) for line in found["segments"]]
    expected = [(1, 2, "left"), (2.5, 4, "right"), (6, 7, "left"), (6.5, 7.5, "right")]
    assert len(times) == len(expected)
    for (start, end, name), wanted in zip(times, expected, strict=True):
        assert (start, end) == (
            pytest.approx(wanted[0], abs=0.3),
            pytest.approx(wanted[1], abs=0.3),
        )
        assert name == wanted[2]
    assert [line["overlap"] for line in found["segments"]] == [False, False, True, True]
    whole = classifier(call, speakers="channels", check_speech=False, return_segments=True)
    assert {(w["start"], w["label"] == "no speech") for w in whole["windows"]} >= {(0.0, False)}


@pytest.mark.parametrize(("pause", "segments"), [(0.35, 1), (0.7, 2)])
def test_a_pause_of_half_a_second_ends_a_turn(classifier, pause, segments):
    call = np.zeros((round((4 + pause) * SAMPLING_RATE), 2), dtype=np.float32)
    for start in (0.5, 2 + pause):
        sound = voice(1.5)
        place = round(start * SAMPLING_RATE)
        call[place : place + sound.size, 0] += sound
    call[:, 1] += np.random.default_rng(0).normal(0, 1e-4, len(call)).astype(np.float32)
    found = classifier(call, speakers="channels", return_segments=True)
    assert len([s for s in found["segments"] if s["speaker"] == "left"]) == segments


def test_channel_without_speech_has_no_segments(classifier):
    call = np.stack([voice(3.0), np.zeros(3 * SAMPLING_RATE)], 1).astype(np.float32)
    found = classifier(call, speakers="channels", **WINDOW)
    assert {line["speaker"] for line in found["segments"]} == {"left"}
    right = found["speakers"]["right"]
    assert (right["seconds"], right["emotions"]) == (0, [])
    assert found["note"] == "no transcriber was asked for; right: no speech was found"


def test_dimensions_of_a_conversation_are_the_mean_over_its_speakers(classifier, call):
    found = classifier(call, speakers="channels", dimensions=True, **WINDOW)
    places = [(one["seconds"], one["dimensions"]) for one in found["speakers"].values()]
    for axis in ("valence", "arousal"):
        mean = sum(s * place[axis] for s, place in places) / sum(s for s, _ in places)
        assert found["dimensions"][axis] == pytest.approx(mean)


def test_every_kind_of_source_has_channels(classifier, call):
    expected = classifier(call, speakers=["agent", "customer"], **WINDOW)
    assert {line["speaker"] for line in expected["segments"]} == {"agent", "customer"}
    content = call.read_bytes()
    for source in (
        content,
        io.BytesIO(content),
        {"bytes": content, "path": None},
        {"audio": {"path": str(call), "bytes": None}},
        turns(),
        (SAMPLING_RATE, turns()),
        (turns(), SAMPLING_RATE),
    ):
        found = classifier(source, speakers=["agent", "customer"], **WINDOW)
        assert found["speakers"] == expected["speakers"]


def test_what_cannot_be_told_apart_is_one_line(classifier, call):
    with pytest.raises(ValueError, match="it has one channel, so its speakers"):
        classifier(voice(2.0), speakers="channels", **WINDOW)
    with pytest.raises(ValueError, match="call.wav: it has 2 channels, and 3 speakers are named$"):
        classifier(call, speakers=["a", "b", "c"], **WINDOW)
    rows = classifier([str(call), voice(2.0)], speakers="channels", **WINDOW)
    assert "speakers" in rows[0] and "one channel" in rows[1]["error"]
    for wrong, message in (
        ({"speakers": "channels"}, "speakers needs return_segments=True"),
        ({"speakers": "auto", **WINDOW}, "diarisation.diarise, or its turns"),
        ({"speakers": ["a", "a"], **WINDOW}, "two have one name"),
        ({"speakers": ["a", " "], **WINDOW}, "every one needs a name"),
        ({"speakers": {"left": "a", "right": "b"}, **WINDOW}, 'must be "channels", a list'),
    ):
        with pytest.raises(ValueError, match=message):
            classifier(call, **wrong)


def test_one_channel_of_a_file_is_read(call):
    for channel in (0, 1):
        found, notes = decode({"path": str(call), "channel": channel})
        assert np.array_equal(found, turns()[:, channel].astype(np.float32)) and not notes
    with pytest.raises(AudioError, match="there is no channel 2, it has 2, from 0"):
        decode({"path": str(call), "channel": 2})


def test_what_leaks_from_the_other_channel_is_no_speech(classifier, call, tmp_path):
    clean = classifier(call, speakers="channels", **WINDOW)
    leaking = turns() + 0.03 * turns()[:, ::-1]
    found = classifier(leaking, speakers="channels", **WINDOW)
    for part in ("segments", "windows"):
        assert [(line["speaker"], line["start"], line["label"]) for line in found[part]] == [
            (line["speaker"], line["start"], line["label"]) for line in clean[part]
        ]


def test_channels_that_take_turns_are_noted(call):
    assert decode(str(call))[1] == [TURNS_NOTE]
    sound = voice(4.0)
    for together in (np.stack([sound, 0.3 * sound], 1), np.stack([sound, 0 * sound], 1)):
        assert decode(together)[1] == []


def test_the_command_names_the_speakers(model_folder, call, tmp_path, capsys):
    command = ["predict", str(call), "--model", str(model_folder), "--transcriber", "none"]
    command += ["--speakers", "right=customer,left=agent"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "agent: " in shown and "customer: " in shown
    out = tmp_path / "out.csv"
    assert main([*command, "--format", "csv", "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert lines[0].startswith("file,speaker,start,end,label") and ",overlap" in lines[0]
    assert {line.split(",")[1] for line in lines[1:]} == {"agent", "customer"}
    capsys.readouterr()
    other = [word.replace("agent", "clerk") for word in command]
    again = [*other, "--format", "csv", "--out", str(out), "--resume"]
    with out.open("a") as file:  # the last recording is predicted again, the first is compared
        file.write(lines[1].replace(str(call), "other.wav") + "\n")
    assert main(again) == 2
    assert "of other speakers or windows" in capsys.readouterr().err
    assert main([*command, "--format", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["speakers"]) == {"agent", "customer"}
    assert main([*command, "--format", "srt"]) == 0
    assert "agent: " in capsys.readouterr().out
    assert main([*command[:-1], "left=agent"]) == 2
    assert "expected left=NAME,right=NAME" in capsys.readouterr().err


def test_notes_on_a_file_are_lost_in_no_format(model_folder, call, tmp_path, capsys):
    command = ["predict", str(call), "--model", str(model_folder), "--transcriber", "none"]
    command += ["--segments", "--format"]
    assert main([*command, "csv"]) == 0
    shown, said = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(shown)))
    assert all(TURNS_NOTE in row["note"] for row in rows) and not said
    assert main([*command, "srt"]) == 0
    assert capsys.readouterr().err == f"speech-emotion: {call}: {TURNS_NOTE}\n"
    assert main([*command, "table"]) == 0
    assert TURNS_NOTE in capsys.readouterr().out
    assert "=" not in TURNS_NOTE  # it is read on the command line as well
    # Of a call in which nobody speaks, the table keeps a line.
    soundfile.write(call, np.zeros((SAMPLING_RATE, 2)), SAMPLING_RATE)
    assert main([*command, "csv", "--speakers", "channels", "--out", str(tmp_path / "a.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "a.csv").open())
    assert (row["label"], row["end"]) == ("no speech", "1.0") and "right: no speech" in row["note"]

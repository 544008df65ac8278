"""Speakers told by their voices: turns, the command, and what cannot be told."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from pyannote.core import Annotation, Segment

from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from speech_emotion.cli.main import main
from speech_emotion.predict import PredictError, diarisation
from speech_emotion.predict.diarisation import cluster, diarise, turns_of_windows
from tests.helpers.answers import load
from tests.helpers.sounds import voice

SECOND = SAMPLING_RATE
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_windows_of_a_speaker_become_turns():
    spans = [
        (1, 0, 2 * SECOND),
        (1, SECOND, 3 * SECOND),
        (1, 2 * SECOND, 4 * SECOND),
        (2, 4 * SECOND + 1600, 5 * SECOND),
        (3, 7 * SECOND, 8 * SECOND),
    ]
    found = turns_of_windows(spans, [0, 1, 1, 1, 1])
    # Half of the overlap is each one's, a pause of 0.1 s ends no turn, and one of 2 s does.
    assert found == [(0.0, 1.5, 0), (1.5, 5.0, 1), (7.0, 8.0, 1)]


def test_voices_are_clustered_with_and_without_their_number():
    rng = np.random.default_rng(0)
    middles = np.eye(3, 192)
    true = rng.integers(3, size=60)
    vectors = 5 * middles[true] + rng.normal(0, 0.1, (60, 192))
    for found in (cluster(vectors), cluster(vectors, 3)):
        assert len({*zip(true, found, strict=True)}) == 3 == len(set(found))
    assert set(cluster(vectors[true == 0])) == {0}
    assert len(set(cluster(vectors[true == 0], 2))) == 2
    assert cluster(vectors[:1]).tolist() == [0]


def test_a_long_recording_is_clustered_by_some_of_its_windows(monkeypatch):
    monkeypatch.setattr(diarisation, "MOST", 10)
    true = np.repeat([0, 1], 50)
    vectors = np.eye(2, 192)[true] + np.random.default_rng(0).normal(0, 0.01, (100, 192))
    found = cluster(vectors)
    assert len({*zip(true, found, strict=True)}) == 2 == len(set(found))


def test_a_voice_that_changes_with_the_emotion_is_one_speaker():
    rng = np.random.default_rng(0)
    own, sad, angry = np.eye(3, 192)

    def windows(middle, number):
        return 5 * middle + rng.normal(0, 0.2, (number, 192))

    one = np.concatenate([windows(own + 0.8 * sad, 24), windows(own + 0.8 * angry, 24)])
    assert set(cluster(one)) == {0}
    assert len(set(cluster(one, 2))) == 2  # their number is believed
    other = np.eye(192)[9]
    assert len(set(cluster(np.concatenate([one, windows(other, 24)])))) == 2


def test_what_pyannote_finds_becomes_turns(monkeypatch):
    asked = []

    def pipeline(file, num_speakers):
        asked.append((file["waveform"].shape, file["sample_rate"], num_speakers))
        found = Annotation()
        found[Segment(3.0, 6.2), "a"] = "SPEAKER_00"
        found[Segment(0.0, 2.5), "b"] = "SPEAKER_01"
        found[Segment(2.0, 4.0), "c"] = "SPEAKER_01"
        return SimpleNamespace(speaker_diarization=found)

    monkeypatch.setattr(diarisation, "_pyannote", lambda: pipeline)
    assert diarise(voice(6.0), num_speakers=2) == [
        {"start": 0.0, "end": 4.0, "speaker": "speaker1"},
        {"start": 3.0, "end": 6.0, "speaker": "speaker2"},
    ]
    assert asked == [((1, 6 * SECOND), SAMPLING_RATE, 2)]


@pytest.fixture
def told(monkeypatch):
    """Recordings in which the voice changes in the middle, whatever they hold."""

    def by_clusters(stream, num_speakers):
        seconds = sum(block.size for block in stream) / SAMPLING_RATE
        return [(seconds / 2, seconds, 7), (0.0, seconds / 2, 9)][: num_speakers or 2]

    monkeypatch.setattr(diarisation, "_by_clusters", by_clusters)
    monkeypatch.setattr(diarisation, "load", lambda: None)


def test_speakers_are_numbered_as_they_begin(told):
    assert diarise(voice(6.0)) == [
        {"start": 0.0, "end": 3.0, "speaker": "speaker1"},
        {"start": 3.0, "end": 6.0, "speaker": "speaker2"},
    ]


def test_the_pipeline_takes_the_function(told, model_folder, tmp_path):
    path = tmp_path / "call.wav"
    soundfile.write(path, voice(6.0), SAMPLING_RATE, subtype="FLOAT")
    classifier = load(model_folder, transcriber="none")
    asked = {"return_segments": True, "clean": False}
    known = classifier(path, speakers=diarise(path), **asked)
    assert {line["speaker"] for line in known["windows"]} == {"speaker1", "speaker2"}
    with path.open("rb") as file:  # can be read once only
        sources = [path, path.read_bytes(), file]
        for row in classifier(sources, speakers=diarise, **asked):
            assert row == known
    one = classifier(path, speakers=partial(diarise, num_speakers=1), **asked)
    assert [*one["speakers"]] == ["speaker1"]
    with pytest.raises(ValueError, match=r"diarisation\.diarise, or its turns$"):
        classifier(path, speakers="auto", **asked)


def test_the_command_tells_speakers_apart(told, model_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("one.wav", "two.wav"):
        soundfile.write(name, voice(6.0), SAMPLING_RATE)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    command = ["predict", "--model", str(model_folder), "--transcriber", "none", "--format", "csv"]
    assert main([*command, "one.wav", "two.wav", "bad.wav", "--speakers", "auto"]) == 1
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert "speaker" in lines[0] and "overlap" in lines[0]
    for name in ("one.wav", "two.wav"):
        assert {"speaker1", "speaker2"} == {
            word for line in lines if name in line for word in line.split(",") if "speaker" in word
        }
    # The first speaker of one recording is not that of another, so they are not added up.
    assert "by speaker" not in errors and "bad.wav" in errors
    command[-1] = "json"
    assert main([*command, "one.wav", "--speakers", "auto", "--num-speakers", "1"]) == 0
    assert [*json.loads(capsys.readouterr().out)["speakers"]] == ["speaker1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-speakers", "2"], "--num-speakers needs --speakers auto"),
        (["--speakers", "channels", "--num-speakers", "2"], "--num-speakers needs"),
        (["--speakers", "auto", "--num-speakers", "0"], "--num-speakers 0: must be at least 1"),
    ],
)
def test_wrong_options_are_one_line(options, message, capsys):
    assert main(["predict", "clip.wav", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_extra_is_one_line(monkeypatch, capsys):
    diarisation._models.cache_clear()
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    assert main(["predict", "clip.wav", "--speakers", "auto"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "speech-text-emotion[speakers]" in message


def test_real_models_find_no_speech_in_silence():
    silence = np.zeros(2 * SECOND, dtype=np.float32)
    with pytest.raises(AudioError, match="no speech was found, so there are no speakers"):
        diarise(silence)
    with pytest.raises(PredictError, match="must be at least 1"):
        diarise(silence, num_speakers=0)


def test_real_models_hear_when_a_voice_speaks():
    """The examples are speech of a synthesiser; here with a second of silence between them."""
    clips = [load_audio(EXAMPLES / f"{name}.wav") for name in ("angry", "happy", "sad")]
    pause = np.zeros(SECOND, dtype=np.float32)
    parts = [pause, clips[0], pause, clips[1], pause, clips[2], pause]
    ends = np.cumsum([part.size for part in parts]) / SAMPLING_RATE
    found = diarise(np.concatenate(parts), num_speakers=1)
    assert {turn["speaker"] for turn in found} == {"speaker1"}
    for start, end in ((ends[n], ends[n + 1]) for n in (0, 2, 4)):
        assert any(start - 0.1 < turn["start"] < turn["end"] < end + 0.1 for turn in found)
    with pytest.raises(AudioError, match="too little speech for 99 speakers"):
        diarise(clips[0], num_speakers=99)

"""A clip is heard once, whoever asks and whatever happens to the folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub_model.transcript import TranscriberUnavailable
from hub_model.transcription import TransformersTranscriber, make_transcriber
from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, tone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def heard(monkeypatch):
    """How many clips the classifier was asked for, call by call."""
    calls = []
    transcribe = TransformersTranscriber.transcribe

    def count(self, waveforms):
        calls.append(len(waveforms))
        return transcribe(self, waveforms)

    monkeypatch.setattr(TransformersTranscriber, "transcribe", count)
    return calls


def test_a_clip_is_heard_once(transformers_whisper, tmp_path, heard):
    name = str(transformers_whisper)
    expected = make_transcriber(name).transcribe(CLIPS[:3])
    heard.clear()
    first = make_transcriber(name, cache=tmp_path)
    assert first.name == name
    for found, wanted in zip(first.transcribe(CLIPS[:2]), expected[:2], strict=True):
        assert found.text == wanted.text
        assert found.confidence == pytest.approx(wanted.confidence, abs=1e-5)
    again = make_transcriber(name, cache=tmp_path)
    found = again.transcribe([CLIPS[1], CLIPS[2], CLIPS[0], CLIPS[2]])
    assert [row.text for row in found] == [expected[i].text for i in (1, 2, 0, 2)]
    assert heard == [2, 1]
    assert again.transcribe([]) == []


def test_language_and_context_have_texts_of_their_own(transformers_whisper, tmp_path, heard):
    name = str(transformers_whisper)
    for options in ({}, {"language": "en"}, {"short_context": True}, {}):
        make_transcriber(name, cache=tmp_path, **options).transcribe(CLIPS[:1])
    assert heard == [1, 1, 1]


def test_other_weights_under_the_same_name_are_asked_again(transformers_whisper, tmp_path, heard):
    name = str(transformers_whisper)
    make_transcriber(name, cache=tmp_path).transcribe(CLIPS[:1])
    os.utime(transformers_whisper / "model.safetensors", (1, 1))
    make_transcriber(name, cache=tmp_path).transcribe(CLIPS[:1])
    assert heard == [1, 1]


def test_a_damaged_file_is_written_again(transformers_whisper, tmp_path, heard):
    transcriber = make_transcriber(str(transformers_whisper), cache=tmp_path)
    expected = transcriber.transcribe(CLIPS[:1])
    (file,) = tmp_path.rglob("*.json")
    for damage in ("", '{"text": "half', "[1, 2]", '{"words": "other"}'):
        file.write_text(damage)
        assert transcriber.transcribe(CLIPS[:1]) == expected
        assert json.loads(file.read_text())["text"] == expected[0].text
    assert heard == [1] * 5
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_of_an_older_version_is_read(transformers_whisper, tmp_path, heard):
    transcriber = make_transcriber(str(transformers_whisper), cache=tmp_path)
    expected = transcriber.transcribe(CLIPS[:1])
    (file,) = tmp_path.rglob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"no_speech": 0.1}))
    assert transcriber.transcribe(CLIPS[:1]) == expected
    assert heard == [1]


def test_known_clips_need_no_classifier(transformers_whisper, tmp_path):
    """Without its weights, what is known is answered and the rest says why it is not."""
    name = "nobody/no-such-classifier"
    cached = make_transcriber(name, cache=tmp_path)
    cached.load()
    with pytest.raises(TranscriberUnavailable, match=name):
        cached.transcribe(CLIPS[:1])
    cached._transcriber = make_transcriber(str(transformers_whisper))
    known = cached.transcribe(CLIPS[:1])
    found = make_transcriber(name, cache=tmp_path).transcribe(CLIPS[:2])
    assert found[0] == known[0] and found[0].error is None
    assert found[1].text == "" and name in found[1].error


WRITE = """
import sys
from hub_model.transcript import Transcript
from hub_model.transcript import CachedTranscriber
from tests.helpers.sounds import tone

class Loudness:
    name = "loudness"

    def transcribe(self, waveforms):
        return [Transcript(f"{abs(waveform).max():.3f}") for waveform in waveforms]

cached = CachedTranscriber(Loudness(), sys.argv[1], {})
for _ in range(5):
    for hertz in range(300, 500):
        print(cached.transcribe([tone(hertz, 0.1)])[0].text)
"""


def test_two_processes_share_a_folder(tmp_path):
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    texts = [process.communicate()[0].splitlines() for process in both]
    expected = [f"{abs(tone(hertz, 0.1)).max():.3f}" for hertz in range(300, 500)] * 5
    assert texts == [expected, expected]
    assert len(list(tmp_path.rglob("*.json"))) == 200
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_pipeline_keeps_transcripts_when_asked_to(model_folder, transformers_whisper, tmp_path):
    options = {"transcriber": str(transformers_whisper), "transcript_cache": tmp_path}
    ask = {"return_transcript": True, "check_speech": False}
    first = load(model_folder, **options)(CLIPS[0], **ask)
    assert 0 < first["transcript_confidence"] < 1
    (file,) = tmp_path.rglob("*.json")
    kept = json.loads(file.read_text())
    assert kept["text"] == first["transcript"]
    file.write_text(json.dumps(kept | {"text": "leave me"}))
    again = load(model_folder, **options)
    row = again(CLIPS[0], **ask)
    assert row["transcript"] == "leave me"
    assert row["transcript_confidence"] == first["transcript_confidence"]
    given = again(CLIPS[0], text="leave me", **ask)
    same(row["emotions"], given["emotions"], atol=1e-6)
    assert given["transcript_confidence"] is None

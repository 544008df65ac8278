"""A recording is transcribed once; its words are laid on windows and segments."""

import sys

import numpy as np
import pytest

from hub_model.audio import SAMPLING_RATE
from hub_model.inputs import Clip
from hub_model.speech_chunks import SpeechChunk, SpeechChunks, words_between
from hub_model.timeline import NO_SPEECH, Window, segments_of, table_of
from hub_model.transcript import TranscriberUnavailable, Transcript, Word, text_of
from hub_model.transcription import make_transcriber
from tests.helpers.answers import load
from tests.helpers.sounds import noise, voice

RATE = SAMPLING_RATE


def gathered(sound: np.ndarray, *, block: int = 10 * RATE, **options) -> list[SpeechChunk]:
    chunks = SpeechChunks(**options)
    found = []
    for _ in chunks.watch(sound[at : at + block] for at in range(0, sound.size, block)):
        found += chunks.take()
    assert chunks.heard == float("inf")
    return found + chunks.take()


def test_chunks_hold_the_speech_once_and_know_where_it_is():
    pause = noise(6.0) * 0.01
    sound = np.concatenate([voice(20), pause, voice(25, seed=1), pause, voice(3, seed=2)])
    chunks = gathered(sound)
    assert [chunk.samples.size <= 30 * RATE for chunk in chunks] == [True, True]
    heard = np.zeros(sound.size, dtype=int)
    for chunk in chunks:
        ends = [*(offset for offset, _ in chunk.places[1:]), chunk.samples.size]
        for (offset, place), end in zip(chunk.places, ends, strict=True):
            part = slice(place, place + end - offset)
            np.testing.assert_array_equal(chunk.samples[offset:end], sound[part])
            heard[part] += 1
    assert heard.max() == 1
    for start, end in ((0.1, 19.9), (26.1, 50.9), (57.1, 59.9)):
        assert heard[round(start * RATE) : round(end * RATE)].all()
    assert 48 < heard.sum() / RATE < 50.5


def test_without_a_check_nothing_is_left_out():
    sound = noise(65.0)
    chunks = gathered(sound, check_speech=False)
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), sound)


def test_words_get_the_times_of_the_recording():
    chunk = SpeechChunk(np.zeros(4 * RATE, dtype=np.float32), [(0, 10 * RATE), (RATE, 20 * RATE)])
    words = [Word(0.2, 0.6, " a"), Word(0.7, 1.2, " b"), Word(1.5, 9.0, " c")]
    found = [(word.start, word.end) for word in chunk.in_recording(words)]
    assert found == [(10.2, 10.6), (10.7, 11.0), (20.5, 23.0)]
    assert (chunk.start, chunk.end) == (10.0, 23.0)


def test_a_word_without_a_length_stays_with_the_word_before():
    chunk = SpeechChunk(np.zeros(4 * RATE, dtype=np.float32), [(0, 10 * RATE), (RATE, 20 * RATE)])
    words = [
        Word(1.1, 1.1, "a"),
        Word(0.5, 1.2, "the"),
        Word(1.2, 1.2, "door"),
        Word(1.2, 2, "dogs"),
    ]
    found = [(word.text, word.start, word.end) for word in chunk.in_recording(words[1:])]
    assert found == [("the", 10.5, 11), ("door", 11, 11), ("dogs", 20.2, 21)]
    (alone,) = chunk.in_recording(words[:1])
    assert alone.start == alone.end == pytest.approx(20.1)


def test_a_word_belongs_where_its_middle_lies():
    words = [Word(0, 1, " a"), Word(0.8, 3.4, " b"), Word(3.9, 4.3, " c")]
    assert text_of(words_between(words, 0, 2)) == "a"
    assert text_of(words_between(words, 2, 4.1)) == "b"
    windows = [
        Window(0, 4, Clip(), {"sad": 1.0}),
        Window(4, 8, None, None),
        Window(8, 12, Clip(), {"sad": 1.0}),
    ]
    table = table_of(windows, abstain_below=None)
    segments = segments_of(windows, table, [*words, Word(7.8, 8.0, " d")])
    found = [(segment["label"], segment["transcript"]) for segment in segments]
    # What spills into silence belongs to the speech beside it.
    assert found == [("sad", "a b c"), (NO_SPEECH, None), ("sad", "d")]


class Spelling:
    """A transcriber that hears a word a second, and notes the length of what it is given."""

    name = "spelling"
    has_times = True

    def __init__(self) -> None:
        self.heard: list[float] = []
        self.fails = 0

    def load(self) -> None:
        pass

    def transcribe(self, waveforms):
        return [Transcript("leave me") for _ in waveforms]

    def transcribe_words(self, speech):
        self.heard.append(speech.size / RATE)
        if not self.has_times:
            return None
        if len(self.heard) == self.fails:
            return Transcript("", error="the transcriber repeated itself")
        words = tuple(Word(t + 0.2, t + 0.6, f" w{t}", 0.5) for t in range(speech.size // RATE))
        return Transcript(text_of(words), 0.5, words=words)


@pytest.fixture
def listening(model_folder):
    pipe = load(model_folder, transcriber="none")
    spelling = Spelling()
    pipe.transcriber = pipe._scorer._transcriber = spelling
    pipe._scorer._no_transcript = None
    return pipe, spelling


def recording() -> np.ndarray:
    return np.concatenate([voice(40), 0.01 * noise(8), voice(30, seed=1)]).astype(np.float32)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_recording_is_transcribed_once(listening, workers):
    pipe, spelling = listening
    asked = {"return_segments": True, "clean": False, "num_workers": workers}
    row = pipe(recording(), **asked)
    assert 69 < sum(spelling.heard) < 72 and max(spelling.heard) <= 30
    words = row["words"]
    assert list(words[0]) == ["start", "end", "text"]
    assert [w["start"] for w in words] == sorted(w["start"] for w in words)
    assert not [w for w in words if 41 < w["start"] < 47]
    assert row["transcript"] == " ".join(word["text"] for word in words)
    spoken = [s["transcript"] for s in row["segments"] if s["transcript"]]
    assert " ".join(spoken) == row["transcript"]
    assert row["transcript_source"] == "spelling" and row["transcript_confidence"] == 0.5
    window = row["windows"][2]
    inside = [w for w in words if window["start"] <= (w["start"] + w["end"]) / 2 < window["end"]]
    text = " ".join(w["text"] for w in inside)
    start, end = (round(window[name] * RATE) for name in ("start", "end"))
    given = pipe(recording()[start:end], text=text, clean=False)
    scores = pipe(recording(), smoothing=1, **asked)["windows"][2]["scores"]
    assert {e["label"]: e["score"] for e in given} == pytest.approx(scores, abs=1e-4)


def test_what_cannot_be_transcribed_is_said(listening):
    pipe, spelling = listening
    spelling.fails = 2
    row = pipe(recording(), return_segments=True, clean=False)
    assert " s: the transcriber repeated itself" in row["note"]
    assert row["words"] and row["modalities"] == ["audio", "text"]


def test_without_times_every_window_is_transcribed_by_itself(listening):
    pipe, spelling = listening
    spelling.has_times = False
    row = pipe(recording(), return_segments=True, clean=False)
    assert len(spelling.heard) == 1 and row["words"] is None
    assert "gives no times of words" in row["note"]
    assert row["segments"][0]["transcript"].startswith("leave me leave me")


@pytest.mark.parametrize("kind", [pytest.param("openai", marks=pytest.mark.slow), "transformers"])
def test_whisper_gives_words_with_times(kind, openai_whisper, transformers_whisper, tmp_path):
    name = str(transformers_whisper) if kind != "openai" else f"openai-whisper:{openai_whisper}"
    speech = voice(7.0)
    cached = make_transcriber(name, cache=tmp_path)
    found = cached.transcribe_words(speech)
    assert found.words and text_of(found.words) == found.text and 0 < found.confidence < 1
    assert all(0 <= word.start <= word.end <= 30 for word in found.words)
    assert cached.transcribe_words(speech) == found
    (file,) = tmp_path.rglob("*.words.json")
    file.write_text(file.read_text().replace(f'"text": "{found.text}"', '"text": "kept"'))
    assert cached.transcribe_words(speech).text == "kept"
    assert cached.transcribe_words(speech).words == found.words


def test_faster_whisper_that_is_missing_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no short context$"):
        make_transcriber("faster-whisper:tiny.en", short_context=True)
    for name in ("faster-whisper:tiny.en", f"faster-whisper:{tmp_path}"):
        with pytest.raises(TranscriberUnavailable, match=f"^{name}: ") as error:
            make_transcriber(name).load()
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(TranscriberUnavailable, match="faster-whisper is not installed$"):
        make_transcriber("faster-whisper:tiny.en").load()

"""The timeline of a recording: what the pipeline says of it, in turns and with downloads."""

import csv
import io
import itertools
import threading

import numpy as np
import pytest
import soundfile as sf
from classifier import Classifier, Settings, Turns
from clips import ClipError
from long_recording import timeline_html
from timeline import Recording, as_csv, as_srt, cut, run, segments_of
from transformers import pipeline


@pytest.fixture(scope="module")
def classifier(text_model) -> Classifier:
    return Classifier(Settings(model=str(text_model), threshold=0.0))


@pytest.fixture(scope="module")
def recording(angry_clip, tmp_path_factory):
    """Speech, three seconds of silence, and speech again."""
    waveform, rate = sf.read(angry_clip)
    path = tmp_path_factory.mktemp("recording") / "talk.flac"
    speech = np.concatenate([waveform] * 6)
    sf.write(path, np.concatenate([speech, np.zeros(6 * rate), speech[::2]]), rate)
    return path


def last(steps) -> Recording:
    for step in steps:
        found = step
    return found


@pytest.mark.parametrize(("window_s", "hop_s", "smoothing"), [(4, 2, 3), (2, 2, 1), (3, 0.7, 5)])
def test_the_same_as_the_pipeline(classifier, text_model, recording, window_s, hop_s, smoothing):
    options = {"window_s": window_s, "hop_s": hop_s, "smoothing": smoothing}
    found = last(run(classifier, recording, **options))
    pipe = pipeline("audio-classification", model=str(text_model), trust_remote_code=True)
    expected = pipe(str(recording), return_segments=True, **options)
    assert "no speech" in {segment["label"] for segment in found.segments}
    assert len(found.windows) == len(expected["windows"])
    for mine, theirs in zip(found.windows, expected["windows"], strict=True):
        assert mine["label"] == theirs["label"]
        assert (mine["start"], mine["end"]) == pytest.approx(
            (theirs["start"], theirs["end"]), abs=1e-3
        )
        assert mine["scores"] == (theirs["scores"] and pytest.approx(theirs["scores"], abs=1e-4))
    for mine, theirs in zip(found.segments, expected["segments"], strict=True):
        assert mine["label"] == theirs["label"]
        assert mine["start"] == pytest.approx(theirs["start"], abs=1e-3)
        assert mine["score"] == (theirs["score"] and pytest.approx(theirs["score"], abs=1e-4))
    scores = {row["label"]: row["score"] for row in found.emotions}
    whole = {row["label"]: row["score"] for row in expected["emotions"]}
    assert scores == pytest.approx(whole, abs=1e-4)


def test_stock_model_has_a_timeline_too(stock_model, recording):
    found = last(run(Classifier(Settings(model=str(stock_model))), recording))
    assert found.windows[0]["start"] == 0
    assert found.windows[-1]["end"] == pytest.approx(found.seconds, abs=1e-3)
    assert found.segments[0]["start"] == 0 and len(found.emotions) == 7
    # Silence is not shown to it.
    assert any(window["scores"] is None for window in found.windows)
    assert "audio alone" in found.note


def test_progress_grows_and_ends_whole(classifier, recording):
    shares = [step.share for step in run(classifier, recording, window_s=1, hop_s=1)]
    assert len(shares) > 2 and shares == sorted(shares) and shares[-1] == 1


@pytest.mark.parametrize("samples", [3, 10, 13, 40, 47])
def test_cut_covers_all(samples):
    blocks = np.array_split(np.arange(samples, dtype=np.float32), 4)
    windows = list(cut(blocks, size=10, hop=4))
    assert windows[0][0] == 0 and windows[-1][1][-1] == samples - 1
    for start, sound in windows:
        assert sound.size == min(10, samples)
        assert np.array_equal(sound, np.arange(start, start + sound.size))
    assert all(b - a <= 4 for (a, _), (b, _) in itertools.pairwise(windows))


def test_unsure_windows_say_so(text_model, recording):
    found = last(run(Classifier(Settings(model=str(text_model), threshold=0.99)), recording))
    assert {segment["label"] for segment in found.segments} == {"unsure", "no speech"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window_s": 0.1}, "window must be"),
        ({"hop_s": 9}, "step must be"),
        ({"smoothing": 2}, "smoothing must be"),
    ],
)
def test_options_that_make_no_sense(classifier, recording, options, words):
    with pytest.raises(ClipError, match=words):
        last(run(classifier, recording, **options))


def test_recordings_that_cannot_be_used(text_model, recording, tmp_path):
    classifier = Classifier(Settings(model=str(text_model), max_recording_minutes=0.2))
    with pytest.raises(ClipError, match=r"too long: at most 0.2 minutes"):
        last(run(classifier, recording))
    wrong = tmp_path / "wrong.mp3"
    wrong.write_text("no audio")
    with pytest.raises(ClipError, match="could not be read as audio"):
        last(run(classifier, wrong))
    sf.write(tmp_path / "short.wav", np.zeros(100), 16_000)
    with pytest.raises(ClipError, match="too short"):
        last(run(classifier, tmp_path / "short.wav"))


SEGMENTS = [
    {"start": 0.0, "end": 2.5, "label": "angry", "score": 0.5, "transcript": '=no --> "you"'},
    {"start": 2.5, "end": 4.0, "label": "no speech", "score": None, "transcript": None},
    {"start": 4.0, "end": 3725.25, "label": "unsure", "score": 0.2, "transcript": None},
]


def test_downloads():
    rows = list(csv.DictReader(io.StringIO(as_csv(SEGMENTS))))
    assert [row["label"] for row in rows] == ["angry", "no speech", "unsure"]
    assert rows[0]["transcript"] == '\'=no --> "you"'  # no formula for a spreadsheet
    assert as_srt(SEGMENTS) == (
        '1\n00:00:00,000 --> 00:00:02,500\nangry 50%\n=no -> "you"\n\n'
        "2\n00:00:04,000 --> 01:02:05,250\nunsure 20%\n"
    )
    assert as_csv([]).strip() == "" and as_srt([]) == ""


def test_page_escapes_what_was_said():
    words = "<script>alert(1)</script>"
    windows = [{"start": 0.0, "end": 4.0, "label": "sad", "score": 0.5, "transcript": words}]
    found = Recording(4.0, 4.0, peaks=[0.1] * 80, windows=windows, segments=segments_of(windows))
    page = timeline_html(found, "<b>talk")
    assert words not in page and "<b>talk" not in page and "&lt;script&gt;" in page


def test_turns_are_taken_in_order():
    turns, order = Turns(), []

    def wait(number: int) -> None:
        with turns:
            order.append(number)

    with turns:
        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            while turns._last < number + 2:  # it has drawn its number
                pass
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]

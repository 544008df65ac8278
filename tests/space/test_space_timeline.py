"""The timeline of a recording: results of the pipeline, fairness, downloads."""

import csv
import io
import itertools
import re
import threading

import numpy as np
import pytest
import soundfile as sf
from classifier import Classifier
from clips import ClipError, read_clip
from exports import as_csv, as_srt, as_textgrid, draw_timeline
from lock import FairLock
from long_recording import timeline_html
from settings import Settings
from timeline import Recording, run
from transformers import pipeline

from speech_emotion.predict.loading import load_classifier


@pytest.fixture(scope="module")
def classifier(text_model) -> Classifier:
    return Classifier(Settings(model=str(text_model), threshold=0.0))


@pytest.fixture(scope="module")
def recording(angry_clip, tmp_path_factory):
    """Speech, six seconds of silence, and speech again."""
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
    answer = found.to_dict()
    assert "no speech" in {segment["label"] for segment in answer["segments"]}
    for name in ("windows", "segments", "emotions", "seconds", "note"):
        assert answer[name] == expected[name], name


@pytest.mark.parametrize(("window_s", "hop_s", "smoothing"), [(4, 2, 3), (3, 0.7, 5)])
def test_a_stock_model_has_the_timeline_of_the_pipeline(
    stock_model, recording, window_s, hop_s, smoothing
):
    """The reference is the pipeline of this project around the same weights."""
    options = {"window_s": window_s, "hop_s": hop_s, "smoothing": smoothing}
    settings = Settings(model=str(stock_model), threshold=0.0)
    found = last(run(Classifier(settings), recording, **options)).to_dict()
    expected = load_classifier(stock_model)(str(recording), return_segments=True, **options)
    assert "no speech" in {segment["label"] for segment in found["segments"]}
    assert "audio-only" in found["note"] and found["seconds"] == expected["seconds"]
    for name in ("windows", "segments"):
        for mine, theirs in zip(found[name], expected[name], strict=True):
            for key in ("start", "end", "label"):
                assert mine[key] == theirs[key]
            assert mine["score"] == (theirs["score"] and pytest.approx(theirs["score"], abs=1e-5))
    for mine, theirs in zip(found["windows"], expected["windows"], strict=True):
        assert mine["scores"] == (theirs["scores"] and pytest.approx(theirs["scores"], abs=1e-5))
    scores, whole = ({e["label"]: e["score"] for e in r["emotions"]} for r in (found, expected))
    assert scores == pytest.approx(whole, abs=1e-5)


def test_progress_grows_and_ends_whole(classifier, recording):
    shares = [step.share for step in run(classifier, recording, window_s=1, hop_s=1)]
    assert len(shares) > 2 and shares == sorted(shares) and shares[-1] == 1


def test_a_closed_run_stops_and_frees_the_classifier(classifier, recording, angry_clip):
    steps = run(classifier, recording, window_s=1, hop_s=0.25)
    assert 0 < next(steps).share < 1
    steps.close()
    [thread] = [thread for thread in threading.enumerate() if thread.name == "asking"]
    thread.join(60)
    assert not thread.is_alive()
    clip = read_clip(angry_clip, max_seconds=60, max_megabytes=25)
    assert classifier.classify(angry_clip, clip).emotions


def test_a_clip_runs_between_the_batches_of_a_recording(classifier, recording, angry_clip):
    clip = read_clip(angry_clip, max_seconds=60, max_megabytes=25)
    steps = run(classifier, recording, window_s=1, hop_s=0.25)
    next(steps)
    assert classifier.classify(angry_clip, clip).emotions
    shares = [step.share for step in steps]
    assert shares[0] < 1 and shares[-1] == 1, "the clip was classified before the recording ended"


@pytest.mark.parametrize("seconds", [0.3, 4.0, 4.1, 6.0, 9.3])
def test_windows_of_a_stock_model_cover_the_recording(stock_model, tmp_path, seconds):
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "noise.wav", 0.1 * rng.normal(size=round(seconds * 44_100)), 44_100)
    found = last(run(Classifier(Settings(model=str(stock_model))), tmp_path / "noise.wav"))
    windows = found.result["windows"]
    assert windows[0]["start"] == 0 and windows[-1]["end"] == pytest.approx(seconds, abs=1e-3)
    for one in windows:
        assert one["end"] - one["start"] == pytest.approx(min(4.0, seconds), abs=2e-3)
    assert all(
        after["start"] - before["start"] <= 2.0 for before, after in itertools.pairwise(windows)
    )


def test_a_stock_model_gives_silence_no_emotion(stock_model, tmp_path):
    sf.write(tmp_path / "silence.wav", np.zeros(16_000 * 9), 16_000)
    found = last(run(Classifier(Settings(model=str(stock_model))), tmp_path / "silence.wav"))
    assert found.to_dict()["emotions"] == []
    assert [segment["label"] for segment in found.segments] == ["no speech"]


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
    {"start": 0.0, "end": 2.5, "label": "angry", "score": 0.5, "transcript": "=no --> <you>"},
    {"start": 2.5, "end": 4.0, "label": "no speech", "score": None, "transcript": None},
    {"start": 4.0, "end": 3725.25, "label": "unsure", "score": 0.2, "transcript": None},
]


def test_downloads():
    rows = list(csv.DictReader(io.StringIO(as_csv(SEGMENTS))))
    assert [row["label"] for row in rows] == ["angry", "no speech", "unsure"]
    assert rows[0]["transcript"] == "'=no --> <you>"  # no formula for a spreadsheet
    assert as_srt(SEGMENTS) == (
        "1\n00:00:00,000 --> 00:00:02,500\nangry 50%\n=no -> <you>\n\n"
        "2\n00:00:04,000 --> 01:02:05,250\nunsure 20%\n"
    )
    assert as_csv([]).strip() == "" and as_srt([]) == ""
    grid = as_textgrid([{**SEGMENTS[0], "transcript": 'a "b"'}, *SEGMENTS[1:]], 3725.25)
    assert grid.count('class = "IntervalTier"') == 2 and 'text = "a ""b"""' in grid
    assert grid.count("xmax = 3725.250") == 5  # the file, both tiers and their last intervals
    speakers = [{**segment, "speaker": name} for segment in SEGMENTS for name in ("left", "right")]
    assert 'name = "right words"' in as_textgrid(speakers, 3725.25)
    assert draw_timeline(speakers, [0.1, 0.5], 3725.25).shape[2] == 4


def test_speakers_of_a_call_are_kept_apart(classifier, stock_model, angry_clip, tmp_path):
    waveform, rate = sf.read(angry_clip)
    call = np.stack([waveform, waveform[::-1]], axis=1)
    sf.write(tmp_path / "call.wav", np.tile(call, (2, 1)), rate)
    found = last(run(classifier, tmp_path / "call.wav", speakers=True))
    assert {segment["speaker"] for segment in found.segments} == {"left", "right"}
    assert set(found.to_dict()["speakers"]) == {"left", "right"}
    assert "Strips, from above: left, right." in timeline_html(found, "call.wav")
    with pytest.raises(ClipError, match="one channel"):
        last(run(classifier, angry_clip, speakers=True))
    stock = Classifier(Settings(model=str(stock_model)))
    with pytest.raises(ClipError, match="does not keep speakers apart"):
        last(run(stock, angry_clip, speakers=True))


def test_page_escapes_transcripts_and_names():
    words = "<script>alert(1)</script>"
    segment = {"start": 0.0, "end": 4.0, "label": "sad", "score": 0.5, "transcript": words}
    found = Recording(seconds=4.0, peaks=[0.1] * 80, result={"segments": [segment], "windows": []})
    page = timeline_html(found, "<b>talk")
    assert words not in page and "<b>talk" not in page and "&lt;script&gt;" in page


def test_the_waveform_is_drawn_where_it_is_heard():
    """Also where the parts of the drawing are of unequal length."""
    segment = {"start": 0.0, "end": 40.0, "label": "sad", "score": 0.5, "transcript": None}
    peaks = [0.01] * 800
    peaks[200:220] = [1.0] * 20  # 10 to 11 s
    found = Recording(seconds=40.0, peaks=peaks, result={"segments": [segment], "windows": []})
    shapes = re.findall(
        r'<rect x="([\d.]+)" width="[\d.]+" y="[\d.]+" height="([\d.]+)"',
        timeline_html(found, "talk.wav"),
    )
    loud = [float(x) for x, height in shapes if 80 < float(height) < 95]
    assert len(loud) > 10
    assert loud[0] == pytest.approx(10, abs=0.1) and loud[-1] == pytest.approx(11, abs=0.1)


def test_the_lock_is_granted_in_order():
    lock, order = FairLock(), []

    def wait(number: int) -> None:
        with lock:
            order.append(number)

    threads = []
    with lock:
        for number in range(5):
            threads.append(threading.Thread(target=wait, args=(number,)))
            threads[-1].start()
            while lock._next_ticket < number + 2:  # it waits
                pass
        lock.yield_to_others()
        assert order == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join()

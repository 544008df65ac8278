"""Subtitles and label tracks, read back by a library."""

import io

import pytest
import webvtt

from speech_emotion.predict.writers import as_audacity, as_line, as_srt, as_vtt


def segment(start: float, end: float, label: str | None, score: float | None, text: str | None):
    return {"start": start, "end": end, "label": label, "score": score, "transcript": text}


RESULT = {
    "segments": [
        segment(0.0, 4.5, "happy", 0.514, "kids are talking"),
        segment(4.5, 6.0, "no speech", None, None),
        segment(6.0, 3661.9996, None, 0.3, "R&B {x} 1 < 2 --> 3 \\N"),
        segment(3661.9996, 360_000.25, "sad", 0.999, None),
    ]
}


@pytest.mark.parametrize(("kind", "write"), [("srt", as_srt), ("vtt", as_vtt)])
def test_subtitles_are_read_back(kind, write):
    captions = webvtt.from_buffer(io.StringIO(write(RESULT)), format=kind).captions
    assert [(caption.start, caption.end) for caption in captions] == [
        ("00:00:00.000", "00:00:04.500"),
        ("00:00:06.000", "01:01:02.000"),
        ("01:01:02.000", "100:00:00.250"),
    ]
    words = "R&B {x} 1 < 2 -> 3 \\N"
    if kind == "vtt":  # as browsers want it
        words = "R&amp;B {x} 1 &lt; 2 --&gt; 3 \\N"
    assert [caption.raw_text for caption in captions] == [
        "happy 51%\nkids are talking",
        f"unsure 30%\n{words}",
        "sad 100%",
    ]


def test_the_whole_file():
    result = {"segments": RESULT["segments"][:2]}
    assert as_srt(result) == "1\n00:00:00,000 --> 00:00:04,500\nhappy 51%\nkids are talking\n"
    assert as_vtt(result) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:04.500\nhappy 51%\nkids are talking\n"
    )
    assert as_audacity(result) == "0.000\t4.500\thappy 51%\n4.500\t6.000\tno speech\n"


def test_a_recording_without_speech_has_no_subtitles():
    silent = {"segments": [segment(0, 5, "no speech", None, None)]}
    assert as_srt(silent) == "" and as_vtt(silent) == "WEBVTT\n"


def test_the_line_of_a_recording_names_the_label_with_most_of_the_time():
    emotions = [{"label": "happy", "score": 0.45}, {"label": "sad", "score": 0.4}]
    clip = {"emotions": emotions, "transcript": None}
    assert as_line("a.wav", clip).split() == ["happy", "45%", "a.wav"]
    spoken = {**clip, "summary": {"shares": {"sad": 0.7, "happy": 0.3}}}
    assert as_line("a.wav", spoken).split() == ["sad", "70%", "of", "speech", "a.wav"]
    silent = {"emotions": [], "transcript": None, "summary": {"shares": {}}}
    assert as_line("a.wav", silent).split() == ["no", "speech", "a.wav"]

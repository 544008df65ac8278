"""Error rates over time, on cases that are counted by hand."""

import pytest

from speech_emotion.metrics import Errors, diarisation_errors, emotion_errors

TRUE = [(0.0, 4.0, "a"), (3.0, 6.0, "b")]
"""Seven seconds of speech, one of them with both."""


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0, 4, "x"), (3, 6, "y")], Errors(0, 0, 0, 7)),
        ([(0, 4, "b"), (3, 6, "a")], Errors(0, 0, 0, 7)),  # only who is the same counts
        ([(0, 3, "x"), (3, 6, "y")], Errors(1, 0, 0, 7)),  # overlap that is not found is missed
        ([(0, 6, "x")], Errors(1, 0, 2, 7)),
        ([(0, 4, "x"), (3, 6, "y"), (6, 8, "y")], Errors(0, 2, 0, 7)),
        ([(0, 2, "x"), (2, 4, "z"), (3, 6, "y")], Errors(0, 0, 2, 7)),
        ([], Errors(7, 0, 0, 7)),
    ],
)
def test_speakers(found, expected):
    errors, _ = diarisation_errors(TRUE, found, seconds=10)
    assert tuple(errors) == pytest.approx(tuple(expected))
    assert errors.rate == pytest.approx(expected.seconds / 7)


def test_the_names_are_those_of_the_best_assignment():
    _, names = diarisation_errors(TRUE, [(0, 3, "x"), (3, 6, "y"), (8, 9, "z")], seconds=10)
    assert names == {"x": "a", "y": "b"}


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ([(0, 4, "angry"), (3, 6, "sad")], 0),
        ([(0, 6, "angry")], 1 + 2),  # one second of sadness missed, two taken for anger
        ([(0, 4, "angry"), (3, 6, "sad"), (6, 8, "sad")], 2),
        ([(0, 4, "happy"), (3, 6, "sad")], 4),
        ([], 7),
    ],
)
def test_emotions_are_a_share_of_all_time(found, wrong):
    true = [(0, 4, "angry"), (3, 6, "sad")]
    assert emotion_errors(true, found, seconds=10).rate == pytest.approx(wrong / 10)


def test_two_with_one_emotion_count_twice():
    true = [(0, 4, "angry"), (2, 4, "angry")]
    assert emotion_errors(true, true, seconds=5).rate == 0
    assert emotion_errors(true, true[:1], seconds=5).rate == pytest.approx(2 / 5)

"""What the page says of a result, in plain words."""

import pytest
from classifier import Result
from one_clip import contributions_html, decided_by, result_html

ANGRY = {"angry": 0.8, "calm": 0.1, "sad": 0.1}
SAD = {"angry": 0.2, "calm": 0.1, "sad": 0.7}
CALM = {"angry": 0.3, "calm": 0.4, "sad": 0.3}


def parts(audio, text, fused, moved=(0.5, 0.5)) -> dict:
    shares = dict(zip(("audio", "text"), moved, strict=True))
    return {"audio": audio, "text": text, "fused": fused, "moved": shares}


@pytest.mark.parametrize(
    ("found", "empty", "words"),
    [
        (parts(ANGRY, None, ANGRY), False, "There are no words: the voice decided."),
        (parts(ANGRY, CALM, ANGRY), True, "the words say nothing about the emotion"),
        (parts(ANGRY, SAD, ANGRY, (0.9, 0.05)), False, "The voice decided almost everything."),
        (parts(ANGRY, SAD, SAD, (0.05, 0.9)), False, "The words decided almost everything."),
        (parts(SAD, SAD, SAD), False, "Voice and words agree."),
        (parts(ANGRY, SAD, ANGRY), False, "the words alone would rather be sad"),
        (parts(ANGRY, SAD, SAD), False, "the voice alone would rather be angry"),
        (parts(ANGRY, SAD, CALM), False, "Voice and words decided together"),
    ],
)
def test_what_decided_is_said(found, empty, words):
    assert words in decided_by(found, empty)


def result(scores: dict[str, float], contributions: dict | None = None) -> Result:
    emotions = [{"label": label, "score": score} for label, score in scores.items()]
    emotions.sort(key=lambda one: -one["score"])
    return Result(emotions, None, None, None, ["audio"], 2.0, 0.1, contributions)


def test_words_that_say_nothing_have_no_column():
    found = result(ANGRY, parts(ANGRY, CALM, ANGRY))
    assert '<th scope="col">words</th>' in contributions_html(found, False)
    assert '<th scope="col">words</th>' not in contributions_html(found, True)
    changed = result(SAD, parts(ANGRY, CALM, SAD))
    assert '<th scope="col">words</th>' in contributions_html(changed, True)


def test_a_close_call_and_an_unsure_result():
    assert "Close call: calm is nearly as likely." in result_html(
        result({"sad": 0.5, "calm": 0.45}), 0.35
    )
    assert "Close call" not in result_html(result(ANGRY), 0.35)
    unsure = result_html(result(CALM), 0.5)
    assert "<strong>unsure</strong>" in unsure and "No emotion reaches 50%" in unsure

from corpus_builder.labels import class_names, harmonise
from hub_model.labels import EMOTIONS


def test_the_seven_emotions_have_their_fixed_order():
    assert EMOTIONS == ("angry", "calm", "disgust", "fearful", "happy", "sad", "surprised")


def test_neutral_is_removed_unless_it_is_asked_for():
    assert harmonise("ravdess", "neutral") is None
    assert harmonise("ravdess", "neutral", keep_neutral=True) == "neutral"
    assert class_names(keep_neutral=True).index("neutral") == 7


def test_an_unknown_label_is_removed():
    assert harmonise("ravdess", "bored") is None

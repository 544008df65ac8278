"""Foreign label sets, and what a training record says of whom a model has heard."""

import hashlib

import pytest
from datasets import Dataset

from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.labels import emotions_of
from speech_emotion.evaluation.leaks import heard_by, overlap


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["neu", "hap", "ang", "sad"], ("neutral", "happy", "angry", "sad")),
        (["Fear", "SURPRISE", "other"], ("fearful", "surprised", None)),
        (["pleasant_surprise", "disgusted", "<unk>"], ("surprised", "disgust", None)),
    ],
)
def test_labels_of_well_known_checkpoints_are_read(labels, expected):
    assert emotions_of(labels, where="m") == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["angry", "sad", "bored"], "m: unknown label bored"),
        (["LABEL_0", "LABEL_1"], "m: unknown label LABEL_0, LABEL_1"),
        (["neutral", "happy"], "m: it answers fewer than two"),
    ],
)
def test_what_cannot_be_scored_is_one_line(labels, message):
    with pytest.raises(EvaluationError, match=f"^{message}[^\n]*$"):
        emotions_of(labels, where="m")


def clip_set() -> ClipSet:
    return ClipSet(
        clips=Dataset.from_dict(
            {
                "speaker_id": ["tess-a", "ravdess-01", "ravdess-01", "ravdess-02"],
                "corpus": ["tess", "ravdess", "ravdess", "ravdess"],
                "audio_hash": ["d", "a", "b", "c"],
            }
        ),
        cleaned=True,
    )


def test_speakers_of_every_stage_count_as_heard():
    heard = heard_by(
        {
            "data": ["ravdess"],
            "speakers": ["ravdess-03"],
            "stages": [{"licences": {"TESS": "x", "espeak-ng": "y"}, "speakers": ["ravdess-01"]}],
        }
    )
    assert heard.speakers == {"ravdess-01", "ravdess-03"}
    found = overlap(heard, clip_set())
    assert found == {"speakers": ["ravdess-01"], "clips": 2, "same_clips": 0, "maybe": ["tess"]}


def test_the_very_clips_are_found_by_hash_and_by_the_fingerprint_of_a_split():
    by_hash = heard_by({"speakers": [], "audio_hashes": "b c"})
    assert overlap(by_hash, clip_set())["same_clips"] == 2
    fingerprint = hashlib.sha256(b"a\nb\nc\nd").hexdigest()
    record = {"speakers": [], "train_fingerprint": fingerprint}
    assert overlap(heard_by(record), clip_set())["same_clips"] == 4


@pytest.mark.parametrize("training", [None, {}, {"protocol": "paper"}])
def test_a_model_that_tells_nothing_is_unknown(training):
    assert overlap(heard_by(training), clip_set()) is None

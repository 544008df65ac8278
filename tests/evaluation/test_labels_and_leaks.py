"""Foreign label sets, and what a training record says of whom a model has heard."""

import hashlib
import json

import pytest
from datasets import Dataset

from corpus_builder.labels import SYNONYMS
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.labels import emotions_of
from speech_emotion.evaluation.leaks import RECORD_FILE, TrainingRecord, overlap, read_record


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
        (["neutral", "happy"], "m: it predicts fewer than two"),
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
    heard = TrainingRecord.of(
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
    by_hash = TrainingRecord.of({"speakers": [], "audio_hashes": "b c"})
    assert overlap(by_hash, clip_set())["same_clips"] == 2
    fingerprint = hashlib.sha256(b"a\nb\nc\nd").hexdigest()
    record = {"speakers": [], "train_fingerprint": fingerprint}
    assert overlap(TrainingRecord.of(record), clip_set())["same_clips"] == 4


@pytest.mark.parametrize("training", [None, {}, {"protocol": "paper"}])
def test_a_model_that_tells_nothing_is_unknown(training):
    assert overlap(TrainingRecord.of(training), clip_set()) is None


def test_the_record_file_is_read_before_the_config(tmp_path):
    """Older checkpoints have the whole record in config.json; newer ones all but the hashes."""
    short = {"speakers": ["ravdess-01"], "protocol": "natural"}
    (tmp_path / "config.json").write_text(json.dumps({"training": short}))
    assert read_record(tmp_path) == short
    whole = short | {"audio_hashes": "b c"}
    (tmp_path / RECORD_FILE).write_text(json.dumps(whole))
    assert read_record(tmp_path) == whole
    record = TrainingRecord.of(read_record(tmp_path))
    assert overlap(record, clip_set())["same_clips"] == 2


@pytest.mark.parametrize("config", [{}, {"training": None}, {"training": {}}])
def test_a_checkpoint_without_a_record_has_none(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_record(tmp_path) is None


def test_the_synonyms_of_labels():
    assert SYNONYMS == {
        "angry": ("ang", "anger"),
        "calm": ("cal", "calmness"),
        "disgust": ("dis", "disgusted"),
        "fearful": ("fea", "fear", "afraid"),
        "happy": ("hap", "happiness", "joy"),
        "sad": ("sadness",),
        "surprised": ("sur", "surprise", "ps", "pleasant surprise"),
        "neutral": ("neu", "neutrality"),
    }
    for emotion, synonyms in SYNONYMS.items():
        found = emotions_of([emotion, *synonyms, "angry", "sad"], where="m")[: 1 + len(synonyms)]
        assert set(found) == {emotion}
    assert emotions_of(["exc", "excited", "sad"], where="m") == ("happy", "happy", "sad")

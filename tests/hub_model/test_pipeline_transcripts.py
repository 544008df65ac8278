"""Given transcripts, heard transcripts and missing ones in the pipeline."""

import json
import shutil

import pytest

from tests.helpers.answers import load, same
from tests.helpers.sounds import CLIPS, TEXTS
from tests.helpers.tiny_models import write_transformers_whisper

CLIP = CLIPS[1]


def test_a_given_text_changes_the_answer(classifier):
    silent, spoken = classifier(CLIP, text=""), classifier(CLIP, text="leave me")
    assert silent == classifier(CLIP)
    assert abs(silent[0]["score"] - spoken[0]["score"]) > 1e-4


def test_texts_of_several_clips(classifier, rows):
    expected = [classifier(clip, text=text or "") for clip, text in zip(CLIPS, TEXTS, strict=True)]
    for clips, texts in (
        (list(CLIPS), list(TEXTS)),
        (CLIPS, TEXTS),
        (list(CLIPS), iter(TEXTS)),
        (iter(CLIPS), iter(TEXTS)),
        (rows, rows["transcript"]),
    ):
        for row, wanted in zip(classifier(clips, text=texts), expected, strict=True):
            same(row, wanted)


def test_a_text_longer_than_the_encoder_reads_is_cut(classifier):
    long = classifier(CLIP, text="kids are talking by the door " * 50)
    same(long, classifier(CLIP, text="kids are talking by the door " * 20), atol=1e-6)


@pytest.mark.parametrize(
    ("clips", "text", "message"),
    [
        (CLIP, ["leave me"], "one string"),
        (CLIP, 5, "one string"),
        ([CLIP], "leave me", "must be a list"),
        ([CLIP], 5, "must be a list"),
        ([CLIP, CLIP], ["leave me"], "1 texts for 2 clips"),
        ([CLIP], ["leave", "me"], "2 texts for 1 clips"),
        ([CLIP], [5], "must be a string or None, not int"),
        ([CLIP], [b"leave"], "must be a string or None, not bytes"),
    ],
)
def test_text_that_does_not_fit_is_refused(classifier, clips, text, message):
    with pytest.raises(ValueError, match=message):
        classifier(clips, text=text)


def test_texts_that_run_out_are_an_error(classifier):
    answers = classifier(iter(CLIPS), text=iter(["leave me"]), batch_size=1)
    next(answers)
    with pytest.raises(ValueError, match="shorter"):
        list(answers)


def test_transcript_fields_of_given_texts(classifier):
    rows = classifier(list(CLIPS), text=["  leave me ", "", None, "dogs"], return_transcript=True)
    names = ["emotions", "modalities", "note", "transcript"]
    names += ["transcript_confidence", "transcript_source"]
    assert all(sorted(row) == names for row in rows)
    assert [row["transcript"] for row in rows] == ["leave me", None, None, "dogs"]
    assert [row["transcript_source"] for row in rows] == ["given", "given", None, "given"]
    assert [row["modalities"] for row in rows] == [
        ["audio", "text"],
        ["audio"],
        ["audio"],
        ["audio", "text"],
    ]
    assert [row["note"] for row in rows] == [
        None,
        "no words were given",
        "no transcriber was asked for",
        None,
    ]
    assert len(rows[0]["emotions"]) == 7


@pytest.fixture(scope="module", params=["openai", "transformers"])
def listening(request, model_folder, openai_whisper, transformers_whisper):
    """The pipeline with one of the tiny classifiers, and that classifier's name."""
    name = str(transformers_whisper)
    if request.param == "openai":
        name = f"openai-whisper:{openai_whisper}"
    return load(model_folder, transcriber=name), name


def test_what_the_transcriber_hears_is_used(listening):
    classifier, name = listening
    rows = classifier(list(CLIPS[:2]), return_transcript=True)
    heard = [row.text for row in classifier.transcriber.transcribe(CLIPS[:2])]
    assert [row["transcript"] for row in rows] == heard
    assert len(set(heard)) == 2
    for row, clip, text in zip(rows, CLIPS[:2], heard, strict=True):
        assert row["transcript_source"] == name
        assert row["note"] is None
        assert row["modalities"] == ["audio", "text"]
        same(row["emotions"], classifier(clip, text=text))


def test_a_given_text_wins_over_the_transcriber(listening):
    classifier, _ = listening
    rows = classifier(
        [CLIPS[0], "missing.wav", CLIPS[1]],
        text=["leave me", None, None],
        return_transcript=True,
    )
    assert rows[0]["transcript_source"] == "given"
    assert list(rows[1]) == ["error"]
    assert rows[2]["transcript"] == classifier.transcriber.transcribe([CLIPS[1]])[0].text
    assert classifier(CLIPS[0], text="", return_transcript=True)["modalities"] == ["audio"]


def test_nothing_heard_is_said(model_folder, classifier, tmp_path):
    deaf = str(write_transformers_whisper(tmp_path, deaf=True))
    row = load(model_folder, transcriber=deaf)(CLIP, return_transcript=True)
    assert row["note"] == "no words were recognised"
    assert row["transcript"] is None and row["transcript_source"] == deaf
    assert row["modalities"] == ["audio"]
    same(row["emotions"], classifier(CLIP))


def test_an_unavailable_transcriber_is_said_once(model_folder, classifier, caplog):
    lonely = load(model_folder, transcriber="nobody/no-such-classifier")
    caplog.clear()
    rows = lonely([*CLIPS, *CLIPS], batch_size=2, return_transcript=True)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    said = [message for message in said if "audio only" in message]
    assert len(said) == 1
    assert "nobody/no-such-classifier" in said[0] and "\n" not in said[0]
    for row, clip in zip(rows, [*CLIPS, *CLIPS], strict=True):
        assert row["note"] and "nobody/no-such-classifier" in row["note"]
        assert row["modalities"] == ["audio"] and row["transcript_source"] is None
        same(row["emotions"], classifier(clip))


def test_the_config_names_the_default_transcriber(model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["transcriber"] = "openai-whisper:base.en"
    (folder / "config.json").write_text(json.dumps(config))
    assert load(folder).transcriber.name == "openai-whisper:base.en"
    assert load(folder, transcriber="none").transcriber is None

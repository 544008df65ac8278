"""Conversations made of clips, and their error rates by the command line."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

import speech_emotion.evaluation.conversation as conversation
from evaluate_benchmarks import main
from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.conversation_recipe import make_conversations
from speech_emotion.predict import PredictError, diarisation
from tests.helpers.sounds import encode, voice

pytestmark = pytest.mark.usefixtures("bench")


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    """Ten clips of each of four speakers of one corpus and one of another, all voices."""
    rows = [
        {
            "audio": {"bytes": encode(voice(1.0 + 0.1 * number, seed=number)), "path": None},
            "label": number % 7,
            "speaker_id": speaker,
            "utterance_id": f"{speaker}-{number}",
            "transcript": None,
            "corpus": speaker[0],
        }
        for speaker in ("a1", "a2", "a3", "a4", "b1")
        for number in range(10)
    ]
    return ClipSet(clips=Dataset.from_list(rows), cleaned=True)


def test_conversations_follow_the_recipe(clips):
    made = list(make_conversations(clips, 6, seed=1))
    assert [len(one.speakers) for one in made] == [2, 3, 4, 2, 3, 4]
    overlapped = 0
    for one in made:
        assert set(one.speakers) <= {"a1", "a2", "a3", "a4"}
        assert {turn["speaker"] for turn in one.turns} <= set(one.speakers)
        clip_numbers = [turn["clip"] for turn in one.turns]
        assert len(set(clip_numbers)) == len(clip_numbers)
        for speaker in one.speakers:
            mine = [turn for turn in one.turns if turn["speaker"] == speaker]
            assert all(before["end"] <= after["start"] for before, after in pairwise(mine))
        overlapped += sum(a["end"] > b["start"] for a, b in pairwise(one.turns))
        assert max(turn["end"] for turn in one.turns) < one.seconds
        assert one.mixed.size == one.channels.shape[1]
        # A turn is the clip, at the level of its speaker; elsewhere its channel is nearly silent.
        turn = one.turns[0]
        first = round(turn["start"] * SAMPLING_RATE)
        channel = one.channels[one.speakers.index(turn["speaker"])]
        clip = load_audio(clips.clips[turn["clip"]]["audio"])
        assert np.corrcoef(clip, channel[first : first + clip.size])[0, 1] > 0.99
        assert np.abs(channel[:first]).max() < 0.01
    assert overlapped
    again = list(make_conversations(clips, 6, seed=1))
    for one, other in zip(made, again, strict=True):
        assert one.turns == other.turns
        np.testing.assert_array_equal(one.channels, other.channels)
    assert made[0].turns != next(make_conversations(clips, 1, seed=2)).turns


def test_one_speaker_has_no_conversation(clips):
    with pytest.raises(EvaluationError, match="needs two speakers of one corpus"):
        next(make_conversations(clips.only_speakers(["a1", "b1"]), 1, seed=0))


@pytest.fixture
def told(clips, monkeypatch):
    """Speakers are told by chance where their number is known, and not at all elsewhere."""

    def diarise(source, *, num_speakers=None):
        if num_speakers is None:
            raise AudioError("audio: no speech was found, so there are no speakers")
        half = source["array"].size / SAMPLING_RATE / 2
        return [
            {"start": 0.0, "end": half, "speaker": "speaker1"},
            {"start": half, "end": 2 * half, "speaker": "speaker2"},
        ]

    monkeypatch.setattr(conversation, "read_clips", lambda settings, models: clips)
    monkeypatch.setattr(diarisation, "diarise", diarise)
    monkeypatch.setattr(diarisation, "load", lambda: None)


def test_the_command_scores_every_way(told, capsys):
    asked = ["conversation", "--model", "ours", "--data", "corpus", "--conversations", "2"]
    assert main([*asked, "--out", "talk.json"]) == 0
    printed = capsys.readouterr().out
    result = json.loads(Path("talk.json").read_text(encoding="utf-8"))
    (row,) = result["rows"]
    turns = pd.read_parquet("talk.predictions.parquet")
    assert [*row["ways"]] == list(conversation.WAYS) and row["overlap"]["speakers"] == []
    assert row["conversations"]["number"] == 2 and row["conversations"]["speakers"] == [2, 3]
    for way, found in row["ways"].items():
        mine = turns[turns["way"] == way]
        assert len(mine) == row["scores"]["clips"] and f"| {way} |" in printed
        answered = mine["predicted"].notna()
        right = (mine["label"] == mine["predicted"]).groupby(mine["label"]).mean()
        assert found["ua"] == pytest.approx(right.mean())
        assert found["turns_without_answer"] == (~answered).sum()
        total = mine.loc[answered, [f"p_{name}" for name in EMOTIONS]].sum(axis=1)
        np.testing.assert_allclose(total, 1, atol=1e-6)
    assert row["ways"]["turns known"]["turns_without_answer"] == 0
    assert row["ways"]["turns known"]["diarisation_error_rate"] < 0.2
    nothing = row["ways"]["auto"]
    assert nothing["diarisation_error_rate"] == nothing["missed"] == 1 and nothing["ua"] == 0
    assert row["ways"]["auto, number known"]["number_right"] == 1


def test_what_cannot_be_run_is_one_line(told, monkeypatch, capsys):
    def refuses(*arguments: str) -> str:
        assert main(["conversation", "--data", "corpus", *arguments]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    assert "a baseline has no timeline" in refuses("--model", "nb")
    asked = ("--model", "ours", "--conversations", "0")
    assert "--conversations 0: must be at least 1" in refuses(*asked)

    def missing() -> None:
        raise PredictError('run pip install "speech-text-emotion[speakers]"')

    monkeypatch.setattr(diarisation, "load", missing)
    assert "speech-text-emotion[speakers]" in refuses("--model", "ours")

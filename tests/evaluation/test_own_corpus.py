"""The benchmark ``corpus``: recordings and labels of a user's own."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from datasets import Audio, Dataset
from huggingface_hub import HfApi
from sklearn import metrics as sk

from evaluate_benchmarks import main
from hub_model.audio import audio_hash, load_audio
from speech_emotion.predict.loading import load_classifier
from speech_emotion.training.provenance import HASH_DIGITS
from tests.evaluation.conftest import TEST, speakers, write_stock
from tests.helpers.made_benchmark import write_model
from tests.helpers.refusals import refusal
from tests.helpers.toy_corpus import tone

pytestmark = pytest.mark.usefixtures("bench")
ROOT = Path(__file__).resolve().parents[2]
WORDS = ("ANGER", "Bored", " frustrated", "Fear", "other")
OWN = ("Bored", "angry", "calm", "surprise", "unknown thing")
"""Labels of the stock checkpoint "own"; bored and angry are shared with the table."""


def clip(name: str, pitch: float) -> str:
    """Write a recording into the folder clips."""
    Path("clips").mkdir(exist_ok=True)
    soundfile.write(f"clips/{name}", tone(pitch, seconds=0.5, seed=int(pitch)), 16_000)
    return f"clips/{name}"


def table(name: str, lines: list[dict[str, str]]) -> str:
    with open(name, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return name


def clips_of(words: tuple[str, ...], people: tuple[str, ...] = ("a", "b", "c")) -> list[dict]:
    """Three clips of every word by every speaker, in a table whose header has capitals."""
    return [
        {"Path": clip(f"{who}{number}{take}.wav", pitch), "Emotion": word, "Speaker": who}
        for who in people
        for number, word in enumerate(words)
        for take in range(3)
        for pitch in [150 + 90 * number + 17 * take + 40 * ord(who[0]) % 300]
    ]


def evaluate(*arguments: str) -> tuple[dict, pd.DataFrame]:
    """The result of the only model, with the file's facts, and its predictions."""
    assert main(["corpus", *arguments, "--out", "own.json"]) == 0
    content = json.loads(Path("own.json").read_text(encoding="utf-8"))
    result, prior = content["rows"]
    assert (result["kind"], prior["kind"]) == ("model", "prior")
    return {**result, "data": content["data"], "prior": prior}, pd.read_parquet(
        "own.predictions.parquet"
    )


@pytest.fixture(scope="module")
def own(bench: Path) -> str:
    write_stock(bench / "own", OWN)
    return "own"


def test_scores_equal_those_of_scikit_learn_on_the_labels_that_both_have(own, capsys):
    Path("noise.txt").write_text("no audio")
    # A path may be absolute; no folder of this machine gets into the results.
    lines = clips_of(WORDS) + [
        {"Path": str(Path("noise.txt").absolute()), "Emotion": "anger", "Speaker": "a"},
        {"Path": str(Path("gone.wav").absolute()), "Emotion": "anger", "Speaker": "a"},
        {"Path": "", "Emotion": "anger", "Speaker": "a"},
        {"Path": "clips/a00.wav", "Emotion": "bored", "Speaker": "a"},
    ]
    mapping = ("--map", "Frustrated=Anger", "--map", "OTHER=")
    result, found = evaluate("--data", table("own.csv", lines), "--model", own, *mapping)
    scored = found[found.predicted.notna()]
    truth, guess = scored.label, scored.predicted
    scores, labels = result["scores"], ["angry", "bored"]
    probabilities = scored[["p_angry", "p_bored"]].to_numpy()
    assert scores["confusion"]["labels"] == labels
    assert truth.value_counts().to_dict() == {"angry": 18, "bored": 9}
    assert scores["clips"] == len(scored) == 27 and scores["speakers"] == 3
    assert scores["wa"] == pytest.approx(sk.accuracy_score(truth, guess))
    assert scores["ua"] == pytest.approx(sk.balanced_accuracy_score(truth, guess))
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(truth, guess, average="macro"))
    assert scores["log_loss"] == pytest.approx(sk.log_loss(truth, probabilities, labels=labels))
    matrix = sk.confusion_matrix(truth, guess, labels=labels).tolist()
    assert scores["confusion"]["rows_true_columns_predicted"] == matrix
    recall = sk.recall_score(truth, guess, labels=labels, average=None, zero_division=np.nan)
    precision = sk.precision_score(truth, guess, labels=labels, average=None, zero_division=np.nan)
    for name, values in (("recall", recall), ("precision", precision)):
        expected = [None if np.isnan(value) else pytest.approx(value) for value in values]
        assert list(scores[name].values()) == expected
    low, high = scores["bootstrap"]["over_speakers"]["macro_f1"]
    assert low <= scores["macro_f1"] <= high
    for who, part in scored.groupby("speaker_id"):
        one = scores["per_speaker"][who]
        assert one["wa"] == pytest.approx(sk.accuracy_score(part.label, part.predicted))

    pipeline = load_classifier(own)
    for name, pair in list(zip(scored.utterance_id, probabilities, strict=True))[::5]:
        alone = {one["label"]: one["score"] for one in pipeline(name, text="")}
        both = np.array([alone["angry"], alone["Bored"]])
        np.testing.assert_allclose(pair, both / both.sum(), atol=1e-4)

    assert result["left_out_labels"] == {"fearful": 9}
    assert result["without_clips"] == ["calm", "surprise", "unknown thing"]
    assert result["data"]["removed"] == {"other": 9}
    assert list(result["not_scored"]) == ["noise.txt"]
    with_errors = found.predicted.fillna("none") == found.label
    assert result["with_errors"]["wa"] == pytest.approx(with_errors.mean())
    rejected = "\n".join(result["data"]["rejected"])
    assert len(result["data"]["rejected"]) == 3 and "gone.wav" in rejected
    assert str(Path.cwd()) not in Path("own.json").read_text()
    assert not found.error.str.contains(str(Path.cwd()), regex=False, na=False).any()
    prior = result["prior"]
    always = ["angry"] * len(truth)
    shares = np.tile([18 / 27, 9 / 27], (len(truth), 1))
    assert prior["wa"] == pytest.approx(sk.accuracy_score(truth, always))
    assert prior["ua"] == pytest.approx(sk.balanced_accuracy_score(truth, always))
    assert prior["macro_f1"] == pytest.approx(sk.f1_score(truth, always, average="macro"))
    assert prior["log_loss"] == pytest.approx(sk.log_loss(truth, shares, labels=labels))
    printed = capsys.readouterr().out
    for part in ("fearful 9", "calm, surprise", "noise.txt", "gone.wav", "| c | 9 |", "other 9"):
        assert part in printed


@pytest.mark.parametrize("people", [None, ("a",)], ids=["no column", "one speaker"])
def test_without_two_speakers_intervals_are_over_clips(people, own, capsys):
    lines = clips_of(("anger", "bored"), people or ("a", "b"))
    if people is None:
        lines = [{k: v for k, v in line.items() if k != "Speaker"} for line in lines]
    result, _ = evaluate("--data", table("few.csv", lines), "--model", own)
    scores = result["scores"]
    assert scores["speakers"] == (1 if people else 0) == len(scores["per_speaker"])
    assert scores["bootstrap"]["over_speakers"]["ua"] is None
    low, high = scores["bootstrap"]["over_clips"]["ua"]
    printed = capsys.readouterr().out
    assert f"({100 * low:.1f} to {100 * high:.1f})" in printed
    assert "intervals are over clips" in printed and ("by speaker" in printed) == bool(people)


def test_transcripts_of_the_table_are_used_unless_there_shall_be_none():
    lines = [line | {"Transcript": "kids talking"} for line in clips_of(("anger", "sad", "calm"))]
    arguments = ("--data", table("texts.csv", lines), "--model", "ours")
    columns = ["p_angry", "p_calm", "p_sad"]
    with_text, without = (
        evaluate(*arguments, *more)[1][columns].to_numpy() for more in ((), ("--text", "none"))
    )
    assert np.abs(with_text - without).max() > 1e-4


@pytest.mark.parametrize("model", ["ours", "four", "nb", "leaky"])
def test_a_built_corpus_is_scored_by_every_kind_of_model(model):
    result, found = evaluate("--data", "corpus", "--model", model)
    assert result["scores"]["confusion"]["labels"] == ["angry", "happy", "sad"]
    assert result["scores"]["clips"] == len(found) == 18
    if model == "leaky":
        assert result["overlap"]["speakers"] == speakers(TEST[:2])
        assert result["overlap"]["clips"] == 12
    other, _ = evaluate("--data", "corpus", "--model", model, "--split", "train")
    assert other["data"]["split"] == "train" and other["data"]["kind"] == "corpus"


def test_speakers_and_clips_of_the_training_record_are_found_in_a_table(bench, capsys):
    lines = clips_of(("anger", "happy"))
    hashes = [audio_hash(load_audio(line["Path"]))[:HASH_DIGITS] for line in lines[:4]]
    write_model(bench / "heard", {"speakers": ["csv-b"], "audio_hashes": " ".join(hashes)})
    result, _ = evaluate("--data", table("heard.csv", lines), "--model", "heard")
    assert result["overlap"]["speakers"] == ["b"] and result["overlap"]["clips"] == 6
    assert result["overlap"]["same_clips"] == 4
    assert "LEAK: 1 of 3 test speakers" in capsys.readouterr().out


def test_a_folder_that_load_dataset_opens_is_scored(own):
    for number, line in enumerate(clips_of(("Angry", "bored", "calm"))):
        target = Path("sorted", line["Emotion"], f"{number}.wav")
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(line["Path"]).rename(target)
    result, found = evaluate("--data", "sorted", "--model", own)
    assert result["data"]["kind"] == "data set" and result["data"]["split"] == "train"
    assert result["scores"]["clips"] == 27 and result["without_clips"] == list(OWN[3:])
    assert set(found.utterance_id) >= {"Angry/0.wav", "bored/3.wav"}
    assert (found.utterance_id.str.split("/").str[0].str.lower() == found.label).all()


def test_a_data_set_of_the_hub_is_scored(hub, own, tmp_path, monkeypatch):
    lines = clips_of(("Anger", "bored"))
    rows = {
        "Audio": [{"bytes": Path(line["Path"]).read_bytes(), "path": None} for line in lines],
        "Emotion": [line["Emotion"] for line in lines],
        "speaker": [line["Speaker"] for line in lines],
    }
    api = HfApi(endpoint=hub.url, token=hub.token)
    api.create_repo("owner/calls", repo_type="dataset")
    Path("calls").mkdir()
    Dataset.from_dict(rows).cast_column("Audio", Audio()).to_parquet("calls/test.parquet")
    api.upload_folder(repo_id="owner/calls", folder_path="calls", repo_type="dataset")
    hub.use_here(monkeypatch, tmp_path)
    result, _ = evaluate("--data", "owner/calls", "--model", own)
    assert any(name.endswith("/test.parquet") for name in hub.downloads())
    assert result["scores"]["clips"] == 18 and result["scores"]["speakers"] == 3


BAD = {
    "no such data": ("--data nowhere", "no such table or folder"),
    "no label in common": ("--data strange.csv", "fewer than two labels"),
    "no column": ("--data column.csv", "expected the columns path, emotion"),
    "no recording": ("--data gone.csv", "none of its recordings can be read"),
    "no audio": ("--data silent.csv", "no clip has a prediction"),
    "a map without =": ("--data gone.csv --map angry", "expected WORD=LABEL"),
    "no split": ("--data corpus --split dev", "cannot be opened"),
    "no label column": ("--data unlabelled", "has no column emotion or label"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_cannot_be_scored_is_one_line(case, own, capsys):
    arguments, expected = BAD[case]
    for name in ("empty.wav", "void.wav"):
        Path(name).write_bytes(b"")
    table("strange.csv", clips_of(("joyless", "grim")))
    table("column.csv", [{"path": "a", "mood": "b"}])
    table("gone.csv", [{"path": "nope.wav", "emotion": "sad"}])
    words = [("empty.wav", "angry"), ("void.wav", "bored")]
    table("silent.csv", [{"path": path, "emotion": word} for path, word in words])
    if not Path("unlabelled").exists():
        Path("unlabelled").mkdir()
        Path(clip("x.wav", 300)).rename("unlabelled/x.wav")
    assert expected in refusal(capsys, main, ["corpus", *arguments.split(), "--model", own])

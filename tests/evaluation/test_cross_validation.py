import json
import shutil

import numpy as np
import pandas as pd
import pytest

import train
from corpus_builder.labels import VOTE_CLASSES
from corpus_builder.records import features
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.cross_validation import cross_validate, figures_of
from speech_emotion.evaluation.folds import predicted_classes, read_folds
from speech_emotion.evaluation.scoring import classes_of
from speech_emotion.metrics import bootstrap_interval, ua, wa
from speech_emotion.predict.loading import load_classifier
from speech_emotion.training import fit, run
from speech_emotion.training.config import ConfigError, TrainConfig
from tests.helpers.refusals import refusal
from tests.helpers.toy_corpus import MODEL, rows, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("toy") / "corpus")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, corpus):
    """The command of a cross-validation in a folder of its own, and that folder."""
    folder = tmp_path_factory.mktemp("folds")
    config = folder / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "model": MODEL,
                "tokenizer": {"vocab_size": 100},
                "freeze": ["audio_model", "text_model"],
                "num_train_epochs": 2,
                "learning_rate": 1e-2,
                "warmup_steps": 0,
                "gradient_accumulation_steps": 1,
                "fold_corpus": "ravdess",
            }
        )
    )
    out = folder / "out"
    return ["--config", str(config), "--data", str(corpus), "--output-dir", str(out)], out


@pytest.fixture(scope="module")
def done(arguments):
    given, out = arguments
    assert train.main([*given, "--folds", "all"]) == 0
    return out, json.loads((out / "cross_validation.json").read_text())


def test_every_clip_is_answered_once_by_a_model_that_has_not_heard_its_speaker(done):
    out, figures = done
    table = pd.read_parquet(out / "predictions.parquet")
    assert sorted(table["text"].unique()) == ["corpus", "none"]
    for _, answered in table.groupby("text"):
        names = {row["utterance_id"] for row in rows(range(1, 6))}
        assert set(answered["utterance_id"]) == names and len(answered) == len(names)
    for fold, answered in table.groupby("fold"):
        training = json.loads((out / f"fold_{fold}" / "config.json").read_text())["training"]
        assert training["settings"]["fold"] == fold and training["protocol"] == "natural"
        assert not set(answered["speaker_id"]) & set(training["speakers"])
    assert figures["folds"]["none"]["1"]["speakers"] == ["toy-01", "toy-04"]


def test_answers_are_those_of_the_pipeline(done, corpus):
    out, _ = done
    table = pd.read_parquet(out / "predictions.parquet")
    classifier = load_classifier(out / "fold_2", transcriber="none")
    row = next(row for row in rows((2,)) if row["transcript"])
    answered = table[(table["utterance_id"] == row["utterance_id"])].set_index("text")
    for text in ("corpus", "none"):
        given = row["transcript"] if text == "corpus" else None
        scores = {r["label"]: r["score"] for r in classifier(row["audio"], text=given, clean=False)}
        found = [answered.loc[text, f"p_{emotion}"] for emotion in EMOTIONS]
        assert found == pytest.approx([scores[emotion] for emotion in EMOTIONS], abs=1e-4)
        logits = np.array([answered.loc[text, f"logit_{emotion}"] for emotion in EMOTIONS])
        powers = np.exp(logits / classifier.model.config.temperature)
        assert powers / powers.sum() == pytest.approx(found, abs=1e-6)


def test_the_figures_are_those_of_the_answers(done):
    out, figures = done
    table = pd.read_parquet(out / "predictions.parquet")
    assert {"command", "seed", "commit", "versions", "data", "temperature"} <= set(figures)
    assert figures["command"].startswith("python train.py --config config.yaml --data corpus")
    for text, answered in table.groupby("text"):
        truth, predicted = (answered[name].map(EMOTIONS.index) for name in ("label", "predicted"))
        pooled = figures["pooled"][text]
        assert pooled["wa"] == wa(truth, predicted) and pooled["ua"] == ua(truth, predicted)
        speakers = answered["speaker_id"].to_numpy(dtype=str)
        interval = bootstrap_interval(ua, truth, predicted, speakers=speakers)
        assert pooled["bootstrap"]["over_speakers"]["ua"] == list(interval)
        folds = figures["folds"][text]
        assert set(folds) == {"0", "1", "2"}
        for fold, scores in folds.items():
            at = answered["fold"] == int(fold)
            assert scores["wa"] == wa(truth[at], predicted[at]) and scores["clips"] == at.sum()
        mean = np.mean([scores["ua"] for scores in folds.values()])
        assert figures["mean"][text]["ua"] == pytest.approx(mean)


def test_a_clip_without_an_answer_is_a_mistake(done):
    table = pd.read_parquet(done[0] / "predictions.parquet")
    before = figures_of(table)
    right = table.index[(table["text"] == "none") & (table["predicted"] == table["label"])][0]
    table.loc[right, "predicted"], table.loc[right, "error"] = None, "no audio"
    after = figures_of(table)
    fold = str(table.loc[right, "fold"])
    clips = before["folds"]["none"][fold]["clips"]
    lost = before["folds"]["none"][fold]["wa"] - after["folds"]["none"][fold]["wa"]
    assert lost == pytest.approx(1 / clips)
    assert after["pooled"]["none"]["unanswered"] == 1


def test_finished_folds_are_not_trained_again(done, arguments, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    (out / "fold_1.parquet").unlink()
    trained = []
    train_fold = run.train
    monkeypatch.setattr(run, "train", lambda c: trained.append(c.fold) or train_fold(c))
    given = [*arguments[0][:-1], str(out)]
    assert train.main([*given, "--folds", "all"]) == 0
    assert trained == [1]
    again = json.loads((out / "cross_validation.json").read_text())
    assert again["pooled"] == done[1]["pooled"]


def test_a_stopped_fold_goes_on(done, arguments, tmp_path, monkeypatch, capsys):
    given = [*arguments[0][:-1], str(tmp_path / "out"), "--folds", "0"]
    save_state, seen = fit.save_state, []

    def stop_after_the_first_epoch(*args):
        save_state(*args)
        if not seen:
            seen.append(1)
            raise KeyboardInterrupt

    monkeypatch.setattr(fit, "save_state", stop_after_the_first_epoch)
    assert train.main(given) == 130
    assert train.main(given) == 0
    whole = pd.read_parquet(done[0] / "fold_0.parquet")
    assert pd.read_parquet(tmp_path / "out" / "fold_0.parquet").equals(whole)


def test_other_settings_need_another_folder(done, arguments, capsys):
    line = refusal(capsys, train.main, [*arguments[0], "--folds", "all", "--learning-rate", "0.5"])
    assert "cannot be resumed with another learning_rate" in line


def test_other_files_are_not_mixed_with_folds(arguments, capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    line = refusal(capsys, train.main, [*arguments[0][:-1], str(tmp_path), "--folds", "all"])
    assert "holds something else than folds" in line


def test_a_fold_that_is_not_there(arguments, capsys, tmp_path):
    given = [*arguments[0][:-1], str(tmp_path / "out")]
    assert "there is no fold 7" in refusal(capsys, train.main, [*given, "--folds", "1,7"])


def test_a_start_that_has_heard_the_test_speakers_is_refused(done, arguments, capsys, tmp_path):
    given = [*arguments[0][:-1], str(tmp_path / "model")]
    start = ["--init-from", str(done[0] / "fold_1"), "--fold", "0"]
    line = refusal(capsys, train.main, [*given, *start])
    assert "toy-03" in line and "would be tested on" in line
    assert train.main([*given, "--init-from", str(done[0] / "fold_0"), "--fold", "0"]) == 0


def test_folds_are_not_pushed():
    with pytest.raises(ConfigError, match="push_to_hub is for one model"):
        cross_validate(TrainConfig(folds="all", push_to_hub=True), train.main, [])


def test_a_full_disk_is_one_line(done, arguments, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    (out / "fold_1.parquet").unlink()
    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    line = refusal(capsys, train.main, [*arguments[0][:-1], str(out), "--folds", "all"])
    assert "fold_1.parquet cannot be saved" in line


def test_with_neutral_there_are_eight_classes_and_seven_of_them(tmp_path, arguments):
    given, _ = arguments
    columns = features(VOTE_CLASSES)
    parts = {"train": (1, 2, 3), "validation": (4,), "test": (5,)}
    made = {name: rows(speakers, labels=(0, 5, 7)) for name, speakers in parts.items()}
    corpus = write_corpus(tmp_path / "corpus", columns=columns, **made)
    out = tmp_path / "out"
    given = [*given[:2], "--data", str(corpus), "--output-dir", str(out)]
    assert train.main([*given, "--folds", "all", "--num-train-epochs", "1"]) == 0
    table = pd.read_parquet(out / "predictions.parquet").query("text == 'none'")
    assert classes_of(table.columns) == predicted_classes(str(out)) == VOTE_CLASSES
    figures = json.loads((out / "cross_validation.json").read_text())["pooled"]["none"]
    right = (table["label"] == table["predicted"]).groupby(table["label"]).mean()
    assert figures["ua"] == pytest.approx(right.mean()) and figures["recall"]["neutral"] is not None
    asked = {"corpus": "ravdess", "text": "none", "seed": 0}
    eight, _ = read_folds(str(out), classes=VOTE_CLASSES, **asked)
    assert eight["classes"] == 8 and eight["scores"]["ua"] == pytest.approx(figures["ua"])
    seven, answers = read_folds(str(out), **asked)
    assert seven["scores"]["clips"] == (table["label"] != "neutral").sum() == len(answers)
    expected = table[table["label"] != "neutral"]
    chances = expected[[f"p_{name}" for name in EMOTIONS]].to_numpy()
    chances = chances / chances.sum(axis=1, keepdims=True)
    found = answers[[f"p_{name}" for name in EMOTIONS]].to_numpy()
    assert found == pytest.approx(chances)
    assert answers["predicted"].tolist() == [EMOTIONS[i] for i in chances.argmax(axis=1)]

"""compare, calibration, fairness, robustness, ablation and cross_corpus, by the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import speech_emotion.evaluation.cached_predictor
from evaluate_benchmarks import main
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.adaptation import adapted
from speech_emotion.evaluation.calibration import states_of
from speech_emotion.evaluation.scoring import PROBABILITIES
from tests.evaluation.conftest import TEST, TRAIN, speakers
from tests.helpers.made_benchmark import write_ravdess
from tests.helpers.refusals import refusal
from tests.helpers.toy_corpus import rows, write_corpus

pytestmark = pytest.mark.usefixtures("bench")
MODELS = ("ours", "stock", "four", "nb")


def evaluate(benchmark: str, *arguments: str, out: str | None = None) -> dict:
    """Run the command on the corpus of tones and return its results file."""
    out = out or f"results/{benchmark}.json"
    assert main([benchmark, "--data", "corpus", *arguments, "--out", out]) == 0
    return json.loads(Path(out).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def raw(bench: Path) -> None:
    write_ravdess(bench / "raw")


def asked(*models: str) -> list[str]:
    return [word for name in models for word in ("--model", name)]


def test_every_kind_of_model_is_scored_by_the_same_command():
    result = evaluate("fairness", *asked(*MODELS))
    table = pd.read_parquet("results/fairness.predictions.parquet")
    found = {row["system"]: row for row in result["rows"]}
    assert list(found) == list(MODELS)
    for name, row in found.items():
        clips = table[table.system == name]
        assert row["scores"]["clips"] == len(clips) == 18 and row["scores"]["unanswered"] == 0
        assert row["scores"]["wa"] == pytest.approx(np.mean(clips.label == clips.predicted))
        np.testing.assert_allclose(clips[PROBABILITIES].sum(axis=1), 1, atol=1e-5)
    four = table[table.system == "four"]
    assert not four[["p_calm", "p_disgust", "p_fearful", "p_surprised"]].to_numpy().any()
    assert found["stock"]["overlap"] is None
    assert found["nb"]["overlap"]["speakers"] == []


def test_a_four_class_model_is_scored_on_clips_of_its_classes():
    labels = (0, 1, 2, 5)
    made = {"train": rows((1,)), "validation": rows((2,)), "test": rows((3, 4), labels=labels)}
    write_corpus(Path("mixed"), **made)
    assert main(["fairness", "--data", "mixed", *asked("four"), "--out", "four.json"]) == 0
    result = json.loads(Path("four.json").read_text())
    assert result["rows"][0]["scores"]["clips"] == 8
    table = pd.read_parquet("four.predictions.parquet")
    assert set(table.label) == {"angry", "sad"}


def test_a_planted_leak_is_shown_in_the_row_itself(capsys):
    result = evaluate("compare", "ours", "leaky", out="leak.json")
    assert result["rows"][0]["overlap"]["speakers"] == []
    assert result["rows"][1]["overlap"]["speakers"] == speakers(TEST[:2])
    printed = capsys.readouterr().out.splitlines()
    line = next(line for line in printed if line.startswith("| `leaky` |"))
    assert "LEAK: 2 of 3 test speakers in the training data, 12 clips" in line


def test_the_leak_guard_reads_the_record_file_of_a_checkpoint():
    """The config names no speaker of the test split; the whole record beside it does."""
    shutil.copytree("ours", "recorded", dirs_exist_ok=True)
    config = json.loads(Path("recorded/config.json").read_text())
    record = config["training"] | {"speakers": speakers((*TRAIN, TEST[0]))}
    Path("recorded/training_record.json").write_text(json.dumps(record))
    result = evaluate("fairness", *asked("recorded"), out="recorded.json")
    assert result["rows"][0]["overlap"]["speakers"] == speakers(TEST[:1])


def test_compare_holds_two_models_against_each_other():
    result = evaluate("compare", "ours", "nb")
    first, second, difference = result["rows"]
    assert difference["ua"]["difference"] == pytest.approx(
        second["scores"]["ua"] - first["scores"]["ua"]
    )
    low, high = difference["ua"]["interval"]
    assert low <= difference["ua"]["difference"] <= high
    table = pd.read_parquet("results/compare.predictions.parquet")
    ours, nb = (table[table.system == name].reset_index() for name in ("ours", "nb"))
    only = (nb.label == nb.predicted) & (ours.label != ours.predicted)
    assert difference["mcnemar"]["only_second"] == only.sum()


def test_calibration_tells_error_before_and_after():
    result = evaluate("calibration", *asked("ours", "nb"))
    for row in result["rows"]:
        shipped = row["calibration"]["as_shipped"]
        assert shipped["expected_calibration_error"] == pytest.approx(
            row["scores"]["expected_calibration_error"]
        )
        assert shipped["accuracy_at_coverage"]["1.0"] == pytest.approx(row["scores"]["wa"])
        assert sum(bin["clips"] for bin in shipped["bins"]) == 18


def test_the_temperature_of_a_speaker_comes_from_the_others():
    """The clips of one speaker are all wrong: only the others' temperature learns from that."""
    rng = np.random.default_rng(0)
    references = rng.integers(0, 3, 300)
    names = np.repeat(["a", "b", "c"], 100)
    probabilities = np.zeros((300, 7))
    probabilities[:, :3] = 0.05
    answered = np.where(names == "a", (references + 1) % 3, references)
    answered = np.where(rng.random(300) < 0.1, (answered + 1) % 3, answered)
    probabilities[np.arange(300), answered] = 0.9
    table = pd.DataFrame(probabilities, columns=PROBABILITIES).assign(
        label=[EMOTIONS[label] for label in references],
        predicted=[EMOTIONS[label] for label in answered],
        speaker_id=names,
    )
    states = states_of(table, temperature=1.0, seed=0)
    low, high = states["other_speakers"]["temperature"]
    assert "without" not in states
    assert low == pytest.approx(1.0, abs=0.3) and high > 2 * low


def calibrated_copy(name="known", **more):
    shutil.copytree("ours", name, dirs_exist_ok=True)
    config = json.loads(Path(name, "config.json").read_text())
    config |= {"class_mean_logits": np.eye(7).tolist(), **more}
    Path(name, "config.json").write_text(json.dumps(config))


def test_adaptation_answers_from_the_audio_by_what_the_model_was_fitted_to():
    calibrated_copy()
    row = evaluate("adaptation", *asked("known"))["rows"][0]
    found = row["adaptation"]
    assert set(found) == {"nothing", "3", "10", "half", "mostly_one_emotion"}
    assert found["nothing"]["ua"] == pytest.approx(row["scores"]["ua"])
    silent = evaluate("fairness", *asked("known"), "--text", "none", out="silent.json")
    assert found["nothing"]["ua"] == pytest.approx(silent["rows"][0]["scores"]["ua"])


def test_a_model_that_is_fitted_already_is_not_fitted_again(capsys):
    calibrated_copy("fitted", logit_bias=[0.0] * 7)
    line = refusal(capsys, main, ["adaptation", "--data", "corpus", *asked("fitted")])
    assert "--model fitted: has been fitted to recordings already" in line


def test_a_voice_that_shifts_every_answer_is_made_up_for():
    rng = np.random.default_rng(0)
    means = 3 * np.eye(7)
    references = np.tile(np.arange(7), 40)
    speakers = np.repeat(["a", "b", "c", "d"], 70)
    voices = {name: rng.normal(0, 2, 7) for name in "abcd"}
    logits = means[references] + rng.normal(0, 1, (280, 7))
    logits += np.array([voices[name] for name in speakers])
    found = adapted(logits, references, speakers, means, seed=0)
    assert found["nothing"]["ua"] < found["3"]["ua"] < found["10"]["ua"] < found["half"]["ua"]
    assert found["mostly_one_emotion"]["ua"] > found["nothing"]["ua"]
    for row in found.values():
        assert row["interval"][0] <= row["ua"] <= row["interval"][1]


def test_fairness_has_groups_and_gaps():
    row = evaluate("fairness", *asked("ours"))["rows"][0]
    gender = row["groups"]["gender"]
    assert gender["groups"]["female"]["speakers"] == 2 and gender["groups"]["male"]["speakers"] == 1
    assert gender["groups"]["male"]["wa_interval"] is None
    table = pd.read_parquet("results/fairness.predictions.parquet")
    male = table[table.speaker_id == speakers(TEST)[1]]
    assert gender["groups"]["male"]["wa"] == pytest.approx(np.mean(male.label == male.predicted))
    gap = gender["gap"]["wa"]
    best, worst = (gender["groups"][gap[name]]["wa"] for name in ("best", "worst"))
    assert gap["gap"] == pytest.approx(best - worst)
    assert set(row["groups"]["age band"]["groups"]) == {"60 up"}
    assert set(row["groups"]["intensity"]["groups"]) == {"normal", "strong"}
    assert row["groups"]["corpus"]["gap"] is None


def test_robustness_goes_on_where_it_stopped_and_repeats_itself(monkeypatch):
    conditions = ("--condition", "as_recorded", "--condition", "noise_0", "--condition", "opus")
    conditions += ("--limit", "6")
    first = evaluate("robustness", *asked("ours", "nb"), *conditions, "--cache", "kept")
    assert [row["condition"] for row in first["rows"]][:2] == ["as_recorded", "noise_0"]

    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("everything was answered before")

    with monkeypatch.context() as patch:
        patch.setattr(speech_emotion.evaluation.cached_predictor, "load_classifier", fail)
        second = evaluate("robustness", *asked("ours", "nb"), *conditions, "--cache", "kept")
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_workers_and_a_cache_change_nothing():
    conditions = ("--condition", "telephone", "--limit", "6")
    models = asked("ours", "nb")
    alone = evaluate("robustness", *models, *conditions, "--no-cache")
    helped = evaluate("robustness", *models, *conditions, "--workers", "2")
    alone.pop("seconds"), helped.pop("seconds")
    # Other batches: the last digits of a probability depend on the others of its batch.
    assert rounded(alone) == rounded(helped)


def rounded(value):
    """The same with its floats to five digits."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


TWICE = {
    "ravdess": asked("ours"),
    "compare": ("ours", "nb"),
    "calibration": asked("ours"),
    "fairness": asked("ours", "four"),
    "robustness": (*asked("ours"), "--condition", "noise_5", "--condition", "reverberation"),
    "ablation": asked("ours"),
    "cross_corpus": asked("ours", "nb"),
}


@pytest.mark.parametrize("benchmark", TWICE)
def test_a_second_run_gives_the_same_but_for_timings(benchmark):
    """Asked anew, without the answers of the first."""
    arguments = (*TWICE[benchmark], "--limit", "9", "--no-cache")
    results, predictions = [], []
    for _ in range(2):
        results.append(evaluate(benchmark, *arguments, out="twice.json"))
        predictions.append(Path("twice.predictions.parquet").read_bytes())
    first, second = (result.pop("seconds") for result in results)
    assert first.keys() == second.keys() and first
    assert results[0] == results[1] and predictions[0] == predictions[1]
    assert results[0]["data"]["limit"] == 9
    assert all(row["scores"]["clips"] <= 9 for row in results[0]["rows"] if "scores" in row)


def test_ravdess_goes_on_where_it_stopped_with_workers_or_without(monkeypatch):
    arguments = (*asked("ours", "nb"), "--limit", "9", "--cache", "kept_too")
    first = evaluate("ravdess", *arguments, "--workers", "2", out="again.json")
    monkeypatch.setattr(
        speech_emotion.evaluation.cached_predictor,
        "load_classifier",
        lambda *a, **k: pytest.fail("asked again"),
    )
    second = evaluate("ravdess", *arguments, out="again.json")
    assert first | {"seconds": None} == second | {"seconds": None}
    assert "workers" not in first["command"] and "cache" not in first["command"]


def test_one_pass_answers_audio_text_and_both(monkeypatch):
    passes = []
    ask = speech_emotion.evaluation.cached_predictor.predict_clips

    def counted(*arguments: object, **options: object) -> dict:
        passes.append((options["text"], options["modalities"]))
        return ask(*arguments, **options)

    monkeypatch.setattr(speech_emotion.evaluation.cached_predictor, "predict_clips", counted)
    result = evaluate("ablation", *asked("ours"), "--limit", "6", "--no-cache", out="once.json")
    variants = [row["variant"] for row in result["rows"] if "scores" in row]
    assert variants == ["fused", "audio-only", "text-only", "no transcript"]
    assert passes == [("corpus", ("fused", "audio", "text")), ("none", ("fused",))]


def test_ablation_says_what_it_cannot_do():
    result = evaluate("ablation", *asked("ours", "stock"))
    rows_ = {(row["system"], row["variant"]): row for row in result["rows"]}
    table = pd.read_parquet("results/ablation.predictions.parquet")
    for variant in ("fused", "audio-only", "text-only", "no transcript"):
        assert rows_["ours", variant]["kind"] == "model"
    silent = rows_["ours", "text-only"]["scores"]["unanswered"]
    text = table[(table.system == "ours") & (table.variant == "text-only")]
    assert silent == text.predicted.isna().sum() > 0
    audio, none = (
        table[(table.system == "ours") & (table.variant == name)][PROBABILITIES].to_numpy()
        for name in ("audio-only", "no transcript")
    )
    np.testing.assert_allclose(audio, none, atol=1e-5)
    assert "have been cleaned" in rows_["ours", "without cleaning"]["reason"]
    asr = rows_["ours", "transcript by the model's transcriber"]
    assert asr["kind"] == "not_run" and "\n" not in asr["reason"]
    assert rows_["stock", "audio-only"]["reason"] == "it is audio-only"
    assert "train.py" in rows_["another model", "trained without augmentation"]["reason"]


def test_cross_corpus_leaves_out_whom_the_model_has_heard():
    result = evaluate("cross_corpus", *asked("ours", "leaky"))
    prior, ours, leaky = result["rows"]
    assert prior["wa"] == pytest.approx(1 / 3) and prior["clips"] == 6 * (len(TRAIN) + len(TEST))
    assert ours["scores"]["clips"] == 18 and ours["left_out"]["clips"] == 24
    assert leaky["scores"]["clips"] == 6 and leaky["overlap"]["speakers"] == []
    # Among the three labels of the corpus alone, no answer is one of the other four.
    assert ours["own_labels"]["labels"] == 3
    assert ours["own_labels"]["ua"] >= ours["scores"]["ua"]
    assert "adapted" not in ours  # it has no class-mean logits


def test_each_corpus_is_answered_by_what_learnt_from_the_others(capsys):
    others = rows((8, 9), labels=(0, 4, 5), corpus="tess")
    made = {"train": rows((1, 2), labels=(0, 4, 5)), "validation": others, "test": rows((3,))}
    write_corpus(Path("two"), **made)
    command = ["cross_corpus", "--data", "two", *asked("nb"), "--out", "two.json"]
    assert main(command) == 0
    result = json.loads(Path("two.json").read_text())
    found = {row["corpus"]: row for row in result["rows"] if row["kind"] == "baseline"}
    assert {name: row["scores"]["clips"] for name, row in found.items()} == {
        "ravdess": 16,
        "tess": 12,
    }
    nothing = {"speakers": [], "clips": 0, "same_clips": 0, "maybe": []}
    assert all(row["overlap"] == nothing for row in found.values())
    assert found["tess"]["scores"]["ua"] > 0.9  # each emotion has its tone in both
    assert "mean MFCCs, trained on the other corpora |" in capsys.readouterr().out


BAD = {
    "no comments": ("comments --model ours", "--data corpus: cannot be read as GoEmotions"),
    "one speaker": (
        "calibration --limit 1 --model ours",
        "calibration fits a temperature on other speakers",
    ),
    "never calibrated": (
        "adaptation --model ours",
        "--model ours: was not calibrated with clips of every emotion",
    ),
    "one speaker to compare on": ("compare ours nb --limit 1", "needs two speakers"),
    "no such condition": (
        "robustness --model ours --condition rain",
        "--condition rain: choose from as_recorded",
    ),
    "no such corpus": ("fairness --model ours --corpus tess", "no tess clips to score"),
    "no such protocol": (
        "fairness --model ours --protocol mine",
        "--protocol mine: choose from speaker_disjoint, paper",
    ),
    "no such folds": ("cross_corpus --model ours --folds nowhere", "no finished cross-validation"),
    "a folder that is no model": ("fairness --model corpus", "the folder has no config.json"),
    "workers": ("fairness --model ours --workers -1", "--workers -1: must be at least 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(case, capsys):
    arguments, expected = BAD[case]
    line = refusal(capsys, main, [*arguments.split(), "--data", "corpus", "--out", "bad.json"])
    assert line.startswith("error: ") and expected in line and not Path("bad.json").exists()


def test_a_model_with_neutral_gets_a_row_of_eight_classes(raw, capsys):
    arguments = ["--data", "raw", *asked("stock"), "--limit", "24", "--out", "eight.json"]
    assert main(["ravdess", *arguments]) == 0
    result = json.loads(Path("eight.json").read_text())
    for kind in ("model", "folds"):
        found = [row for row in result["rows"] if row["kind"] == kind]
        assert [len(row["scores"]["confusion"]["labels"]) for row in found] == [7, 8]
        assert found[1]["scores"]["recall"]["neutral"] is not None
    assert [row["classes"] for row in result["rows"] if row["kind"] == "chance"] == [7, 8]
    table = pd.read_parquet("eight.predictions.parquet")
    eight = table[table.system == "stock, eight classes"]
    np.testing.assert_allclose(eight[[*PROBABILITIES, "p_neutral"]].sum(axis=1), 1, atol=1e-5)
    printed = capsys.readouterr().out
    assert "| `stock`, eight classes |" in printed
    assert "`stock`, eight classes, speaker-disjoint: clips by true emotion" in printed


def test_cleaning_is_ablated_on_raw_recordings(raw):
    arguments = ["ablation", "--data", "raw", *asked("stock"), "--limit", "8"]
    assert main([*arguments, "--out", "raw.json"]) == 0
    found = {row["variant"]: row for row in json.loads(Path("raw.json").read_text())["rows"]}
    assert found["without cleaning"]["kind"] == found["fused"]["kind"] == "model"

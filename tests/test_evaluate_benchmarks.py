"""The benchmark command on a made corpus, with a tiny untrained model of the real classes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi

from corpus_builder.build import BuildConfig, build
from corpus_builder.sources.ravdess import Ravdess
from evaluate_benchmarks import main
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.mfcc_baseline import NAME as BASELINE
from tests.helpers.made_benchmark import (
    ACTORS,
    NO_CLEANING,
    rewrite_corpus,
    split_speakers,
    write_model,
    write_ravdess,
)
from tests.helpers.refusals import refusal

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A working folder with raw/, corpus/ and three models; the tests run inside it."""
    root = tmp_path_factory.mktemp("benchmarks")
    write_ravdess(root / "raw")
    build([Ravdess(root / "raw")], BuildConfig(out=root / "corpus", cleaning=NO_CLEANING))
    corpus = root / "corpus"
    seen = [
        name
        for split in ("train", "validation")
        for name in split_speakers(corpus, "speaker_disjoint", split)
    ]
    everyone = [f"ravdess-{actor:02d}" for actor in ACTORS]
    write_model(root / "model", {"protocol": "speaker_disjoint", "speakers": seen})
    write_model(root / "dependent", {"protocol": "paper", "speakers": everyone})
    write_model(root / "leaky", {"protocol": "speaker_disjoint", "speakers": everyone})
    write_model(root / "silent", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", root / "cache")
        yield root


def evaluate(*arguments: str) -> dict:
    """Run the command and return its results file."""
    assert main(["ravdess", *arguments]) == 0
    out = arguments[arguments.index("--out") + 1] if "--out" in arguments else None
    return json.loads(Path(out or "results/ravdess.json").read_text(encoding="utf-8"))


def probabilities(result: dict, system: str = "model") -> pd.DataFrame:
    """The probabilities of the speaker-disjoint test clips, by utterance id."""
    folders = [
        folder for folder in ("results", ".") if Path(folder, result["predictions"]).exists()
    ]
    table = pd.read_parquet(Path(folders[0], result["predictions"])).set_index("utterance_id")
    own = table[(table.system == system) & (table.protocol == "speaker_disjoint")]
    return own[[f"p_{emotion}" for emotion in EMOTIONS]].sort_index()


def row_of(result: dict, system: str, protocol: str) -> dict:
    (row,) = (
        row for row in result["rows"] if row.get("system") == system and row["protocol"] == protocol
    )
    return row


@pytest.fixture(scope="module")
def both(folder: Path) -> dict:
    """The results of one model of each protocol."""
    return evaluate("--model", "model", "--model", "dependent", "--data", "corpus")


def test_scores_agree_with_the_predictions_beside_them(both):
    table = pd.read_parquet(Path("results") / both["predictions"])
    for system in ("model", BASELINE):
        row = row_of(both, system, "speaker_disjoint")
        clips = table[(table.system == system) & (table.protocol == "speaker_disjoint")]
        assert row["scores"]["clips"] == len(clips) > 0
        assert row["scores"]["wa"] == pytest.approx(np.mean(clips.label == clips.predicted))
        recalls = [np.mean(part.predicted == name) for name, part in clips.groupby("label")]
        assert row["scores"]["ua"] == pytest.approx(np.mean(recalls))
        probabilities = clips[[f"p_{emotion}" for emotion in EMOTIONS]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
        chosen = [EMOTIONS[index] for index in probabilities.argmax(axis=1)]
        assert chosen == clips.predicted.to_list()


def test_each_model_is_scored_under_its_own_protocol(both):
    systems = [(row["kind"], row.get("system"), row["protocol"]) for row in both["rows"]]
    assert systems == [
        ("model", "model", "speaker_disjoint"),
        ("baseline", BASELINE, "speaker_disjoint"),
        ("model", "dependent", "paper"),
        ("baseline", BASELINE, "paper"),
        ("not_run", "cross-validation", "folds"),
        ("folds", BASELINE, "folds"),
        ("chance", None, None),
        ("paper", None, "paper"),
    ]
    clips = pq.read_table("corpus/paper", columns=["utterance_id"])
    assert row_of(both, "dependent", "paper")["scores"]["clips"] < len(clips)


def test_the_baseline_learns_what_can_be_learnt(both):
    """Every emotion has its own tone, which mean MFCCs tell apart at once."""
    assert row_of(both, BASELINE, "speaker_disjoint")["scores"]["ua"] > 0.9


def test_speakers_heard_in_training_are_reported(both):
    nothing = {"speakers": [], "clips": 0, "same_clips": 0, "maybe": []}
    assert row_of(both, "model", "speaker_disjoint")["overlap"] == nothing
    dependent = row_of(both, "dependent", "paper")
    assert dependent["overlap"]["clips"] == dependent["scores"]["clips"]


def test_a_planted_leak_is_shown_in_the_table(capsys):
    result = evaluate("--model", "leaky", "--data", "corpus", "--out", "leak.json")
    test_speakers = split_speakers(Path("corpus"), "speaker_disjoint", "test")
    assert row_of(result, "leaky", "speaker_disjoint")["overlap"]["speakers"] == test_speakers
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "| `leaky` |" in line)
    heard = f"LEAK: {len(test_speakers)} of {len(test_speakers)} test speakers in the training data"
    assert heard in line and test_speakers[0] in line


def test_a_model_that_does_not_name_its_speakers_is_marked_unknown(capsys):
    evaluate("--model", "silent", "--data", "corpus", "--out", "silent.json")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "| `silent` |" in line)
    assert "unknown: no training record" in line


def test_a_missing_protocol_is_not_filled_in(capsys):
    result = evaluate("--model", "model", "--data", "corpus", "--out", "one.json")
    row = row_of(result, "multimodal model", "paper")
    assert row["kind"] == "not_run" and "scores" not in row
    printed = capsys.readouterr().out
    assert "not run here" in printed
    assert "train.py --config configs/hubert_bert.yaml --protocol paper --data corpus" in printed


def test_no_path_of_this_machine_gets_into_the_results(folder):
    arguments = ["--model", str(folder / "model"), "--data", str(folder / "corpus")]
    evaluate(*arguments, "--out", str(folder / "absolute.json"))
    text = Path("absolute.json").read_text(encoding="utf-8")
    assert str(folder) not in text
    assert '"python evaluate_benchmarks.py ravdess --model model --data corpus' in text


def test_answers_do_not_depend_on_the_batch_size(both):
    result = evaluate(
        "--model", "model", "--data", "corpus", "--batch-size", "3", "--out", "batch.json"
    )
    np.testing.assert_allclose(probabilities(both), probabilities(result), atol=1e-4)


def test_the_transcript_reaches_the_model(both):
    result = evaluate(
        "--model", "model", "--data", "corpus", "--text", "none", "--out", "silent.json"
    )
    assert np.abs(probabilities(both) - probabilities(result)).to_numpy().max() > 1e-4


def test_a_raw_folder_is_scored_on_speakers_the_model_has_not_heard(capsys):
    result = evaluate("--model", "model", "--data", "raw", "--out", "raw.json")
    row = row_of(result, "model", "speaker_disjoint")
    unheard = split_speakers(Path("corpus"), "speaker_disjoint", "test")
    table = pd.read_parquet("raw.predictions.parquet").query("system == 'model'")
    assert sorted(set(table.speaker_id)) == unheard
    heard = len(ACTORS) - len(unheard)
    assert len(row["left_out"]["speakers"]) == heard
    assert row["left_out"]["clips"] == heard * 14
    assert result["data"]["removed"] == {"neutral": 2 * len(ACTORS)}
    assert row_of(result, BASELINE, "speaker_disjoint")["scores"]["ua"] > 0.9
    assert f"in the training data: {heard} speakers, {heard * 14} clips" in capsys.readouterr().out


def test_raw_and_built_clips_get_the_same_answers(both):
    """The same audio by two ways: cleaned at build time, and by the pipeline itself."""
    raw = probabilities(evaluate("--model", "model", "--data", "raw", "--out", "raw.json"))
    built = probabilities(both)
    np.testing.assert_allclose(raw.loc[built.index], built, atol=1e-3)


def test_a_bad_clip_counts_as_an_error_and_is_listed(folder, capsys):
    shutil.copytree("corpus", "broken", ignore=shutil.ignore_patterns(".work"))
    (shard,) = Path("broken/speaker_disjoint").glob("test-*.parquet")
    table = pq.read_table(shard)
    rows = table.to_pylist()
    rows[0]["audio"]["bytes"] = b"this is no audio"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)

    result = evaluate("--model", "model", "--data", "broken", "--out", "broken.json")
    for system in ("model", BASELINE):
        scores = row_of(result, system, "speaker_disjoint")["scores"]
        assert scores["unanswered"] == 1
        assert list(scores["errors"]) == [rows[0]["utterance_id"]]
        assert scores["clips"] == len(rows)
    predictions = pd.read_parquet("broken.predictions.parquet").query("system == 'model'")
    predictions = predictions[predictions.protocol == "speaker_disjoint"]
    right = predictions.predicted.fillna("no answer") == predictions.label
    recalls = right.groupby(predictions.label).mean()
    scores = row_of(result, "model", "speaker_disjoint")["scores"]
    assert scores["ua"] == pytest.approx(recalls.mean())
    printed = capsys.readouterr().out
    assert f"No prediction, counted as an error: {rows[0]['utterance_id']}" in printed


def test_model_and_corpus_may_lie_on_the_hub(folder, both, hub, tmp_path, monkeypatch):
    api = HfApi(endpoint=hub.url, token=hub.token)
    for kind, name in (("model", "model"), ("dataset", "corpus")):
        api.create_repo(f"owner/{name}", repo_type=kind)
        api.upload_folder(
            repo_id=f"owner/{name}",
            folder_path=folder / name,
            repo_type=kind,
            ignore_patterns=[".work/**"],
        )
    hub.use_here(monkeypatch, tmp_path)
    result = evaluate("--model", "owner/model", "--data", "owner/corpus", "--out", "hub.json")
    assert any(name.endswith("/model.safetensors") for name in hub.downloads())
    for protocol, system, here in (
        ("speaker_disjoint", "owner/model", "model"),
        ("paper", BASELINE, BASELINE),
    ):
        found = row_of(result, system, protocol)
        expected = row_of(both, here, protocol)
        assert found["clips_sha256"] == expected["clips_sha256"]
        assert found["scores"]["confusion"] == expected["scores"]["confusion"]


def altered_model(name: str, **changes) -> list[str]:
    shutil.copytree("model", name)
    file = Path(name, "config.json")
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(config), encoding="utf-8")
    return ["--model", name, "--data", "corpus"]


def without(files: str) -> list[str]:
    folder = files.strip("*.")
    shutil.copytree("model", folder, ignore=shutil.ignore_patterns(files))
    return ["--model", folder, "--data", "corpus"]


def unknown_label() -> list[str]:
    labels = {str(i): name for i, name in enumerate([*EMOTIONS[:6], "bored"])}
    return altered_model("bored", id2label=labels)


def rewritten(name: str, change: Callable[[pa.Table, str], pa.Table]) -> list[str]:
    rewrite_corpus(Path("corpus"), Path(name), change)
    return ["--model", "model", "--data", name]


def no_speakers() -> list[str]:
    return rewritten(
        "no_speakers",
        lambda table, split: table.drop_columns(["speaker_id"]).replace_schema_metadata(None),
    )


def empty_split() -> list[str]:
    return rewritten("empty", lambda t, split: t.slice(0, 0) if split == "test" else t)


def no_recordings() -> list[str]:
    Path("letters").mkdir()
    Path("letters/a.txt").write_text("no audio")
    return ["--model", "model", "--data", "letters"]


BAD_INPUT = {
    "no such model": ("--model ./none --data corpus", "no such folder"),
    "no such model anywhere": (
        "--model nobody/none --data corpus",
        "no such folder, and not found on the Hub or in its cache",
    ),
    "model without config": (lambda: without("config.json"), "no config.json"),
    "model without weights": (lambda: without("*.safetensors"), "no safetensors weights"),
    "unknown label": (unknown_label, "unknown label bored"),
    "unknown protocol": (
        lambda: altered_model("odd", training={"protocol": "by guess"}),
        "trained under the protocol 'by guess'",
    ),
    "empty split": (empty_split, "empty split"),
    "no such split": ("--model model --data corpus --split dev", "cannot be opened"),
    "all speakers heard": ("--model leaky --data raw", "empty split"),
    "raw and the paper's protocol": (
        "--model dependent --data raw",
        "does not say which clips are the test split",
    ),
    "no such data": ("--model model --data ./none", "no such folder"),
    "data that is neither": (no_recordings, "neither a built corpus nor a RAVDESS folder"),
    "corpus without speakers": (no_speakers, "has no column speaker_id"),
    "limit of zero": ("--model model --data corpus --limit 0", "--limit 0: must be at least 1"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_clear_line_and_exit_code_2(case, capsys, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    make, expected = BAD_INPUT[case]
    arguments = make.split() if isinstance(make, str) else make()
    line = refusal(capsys, main, ["ravdess", *arguments, "--out", "bad.json"])
    assert line.startswith("error: ") and expected in line
    assert not Path("bad.json").exists()

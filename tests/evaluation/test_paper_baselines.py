"""Tables 6 and 8 on a made corpus."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from datasets import Audio

from corpus_builder.reading import open_corpus
from evaluate_benchmarks import main
from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from speech_emotion import baselines
from speech_emotion.evaluation import paper_baselines, paper_rows
from speech_emotion.evaluation.clips import PROTOCOLS
from speech_emotion.evaluation.report import main as report
from tests.helpers.refusals import refusal

SMALL = {
    "xgb": {"params": {"n_estimators": 3}},
    "lightgbm": {"params": {"n_estimators": 3}},
    "random_forest": {"params": {"n_estimators": 5}},
    "knn_grid": {"grid": {"n_neighbors": [1, 3]}, "folds": 2},
    "cnn1d": {
        "num_train_epochs": 1,
        "seconds": 0.3,
        "dense": [8, 8],
        "per_device_train_batch_size": 21,
    },
}


PRINTED = dict(paper_baselines.TABLES)


@pytest.fixture(scope="module")
def made(baseline_corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    """A working folder with a corpus, small configs and, in the end, both tables."""
    root = tmp_path_factory.mktemp("tables")
    shutil.copytree(baseline_corpus, root / "corpus")
    (root / "configs").mkdir()
    for path in paper_rows.CONFIGS_FOLDER.glob("*.yaml"):
        settings = yaml.safe_load(path.read_text()) | SMALL.get(path.stem, {})
        (root / "configs" / path.name).write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(paper_rows, "CONFIGS_FOLDER", root / "configs")
        # A few rows of each kind: the intervals of all eighteen take half a minute.
        chosen = ("knn", "xgb", "random_forest", "gaussian_nb", "knn_grid")
        rows = paper_baselines.TABLES["table6"]
        short = tuple(row for row in rows if row.config in chosen)
        patch.setitem(paper_baselines.TABLES, "table6", short)
        patch.setitem(paper_baselines.TABLES, "table8", paper_baselines.TABLES["table8"][3:])
        assert main(["table6", "--data", "corpus"]) == 0
        yield root


def result(name: str) -> dict:
    return json.loads(Path(f"results/{name}.json").read_text())


def row_of(result: dict, system: str, protocol: str) -> dict:
    (row,) = (r for r in result["rows"] if r.get("system") == system and r["protocol"] == protocol)
    return row


def test_the_fifteen_rows_of_the_paper_are_there_by_name_with_its_figures():
    printed = {
        table: [(row.name, row.wa, row.ua) for row in rows if row.wa is not None]
        for table, rows in PRINTED.items()
    }
    assert [len(rows) for rows in printed.values()] == [8, 7]
    assert printed["table6"][3] == ("LGBClassifier", 33.01, 42.30)
    assert printed["table8"][-1] == ("Hubert and BERT MultiModal", 79.89, 77.68)
    assert printed["table6"][:3] == printed["table8"][:3]


def test_every_row_is_scored_in_both_protocols_from_the_predictions_beside(made):
    table = result("table6")
    predictions = pd.read_parquet(Path("results") / table["predictions"])
    for row in paper_baselines.TABLES["table6"]:
        for protocol in PROTOCOLS:
            scored = row_of(table, row.name, protocol)
            own = predictions[(predictions.system == row.name) & (predictions.protocol == protocol)]
            assert len(own) == scored["scores"]["clips"] == 14
            assert scored["scores"]["wa"] == pytest.approx(np.mean(own.label == own.predicted))
            assert scored["scores"]["bootstrap"]["over_speakers"]["ua_plus_wa"]
            assert scored["corpora"] == {"ravdess": 14}
            nothing = {"speakers": [], "clips": 0, "same_clips": 0, "maybe": []}
            assert scored["overlap"] == nothing
            assert scored["trained_on"] == ["ravdess"]
    best = row_of(table, "KNeighborsClassifier", "speaker_disjoint")
    assert best["scores"]["ua"] == 1.0 and best["paper"] == {"wa": 62.94, "ua": 56.72}


def test_predictions_are_those_of_the_saved_baseline(made, baseline_corpus):
    predictions = pd.read_parquet("results/table6.predictions.parquet")
    own = predictions[
        (predictions.system == "RandomForestClassifier") & (predictions.protocol == "paper")
    ]
    row = baselines.load("runs/random_forest_paper")

    rows = open_corpus(str(baseline_corpus), "paper", split="test")
    rows = rows.cast_column("audio", Audio(decode=False))
    found = row.predict_proba([load_audio(audio) for audio in rows["audio"]])
    np.testing.assert_allclose(own[[f"p_{name}" for name in EMOTIONS]], found, atol=1e-9)


def test_a_row_that_is_trained_already_is_taken_as_it_is_and_gives_the_same(made):
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/classifier.*")}
    first = result("table6")
    assert len(before) == 2 * 5
    assert main(["table6", "--data", "corpus"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert result("table6") | {"seconds": None} == first | {"seconds": None}


def test_rows_that_are_trained_anew_give_the_same(made):
    chosen = {"LGBClassifier", "RandomForestClassifier"}
    with pytest.MonkeyPatch.context() as patch:
        rows = tuple(row for row in PRINTED["table6"] if row.name in chosen)
        patch.setitem(paper_baselines.TABLES, "table6", rows)
        results = []
        for _ in range(2):
            shutil.rmtree("anew", ignore_errors=True)
            command = ["table6", "--data", "corpus", "--runs", "anew", "--out", "anew.json"]
            assert main(command) == 0
            results.append(json.loads(Path("anew.json").read_text()) | {"seconds": None})
    assert len(results[0]["rows"]) == 2 * 2 + 1 and results[0] == results[1]


def test_a_row_trained_with_other_settings_is_trained_again(made):
    file = Path("runs/gaussian_nb/config.json")
    config = json.loads(file.read_text())
    config["training"]["settings"]["seed"] = 5
    file.write_text(json.dumps(config))
    assert main(["table6", "--data", "corpus"]) == 0
    assert json.loads(file.read_text())["training"]["settings"]["seed"] == 0


def test_neural_rows_say_how_to_run_them_until_they_are_there(made, capsys):
    assert main(["table8", "--data", "corpus"]) == 0
    table = result("table8")
    for row in paper_baselines.TABLES["table8"]:
        for protocol in PROTOCOLS:
            missing = row_of(table, row.name, protocol)
            assert missing["kind"] == "not_run"
            assert f"--config configs/{row.config}.yaml --protocol {protocol}" in missing["reason"]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "| CNN (1D) |" in line)
    assert line.count("not run here") == 6 and "| 63.10 | 56.70 | 119.80 |" in line

    cnn = paper_baselines.PaperRow(name="CNN (1D)", config="cnn1d")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(paper_baselines.TABLES, "table8", (cnn,))
        assert main(["table8", "--data", "corpus", "--neural"]) == 0
    first = result("table8")
    row = row_of(first, "CNN (1D)", "paper")
    assert row["scores"]["clips"] == 14 and row["overlap"]["speakers"] == []
    with pytest.MonkeyPatch.context() as patch:  # the answers are kept, so nothing is asked again
        patch.setitem(paper_baselines.TABLES, "table8", (cnn,))
        patch.setattr(
            "speech_emotion.evaluation.cached_predictor.load_classifier",
            lambda *a, **k: pytest.fail("asked"),
        )
        assert main(["table8", "--data", "corpus"]) == 0
    assert result("table8")["rows"] == first["rows"]


def test_a_row_that_is_not_trained_here_is_kept_from_an_earlier_file_on_the_same_clips(made):
    command = ["table6", "--data", "corpus", "--runs", "elsewhere"]
    knn = PRINTED["table6"][:1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(paper_baselines.TABLES, "table6", knn)
        assert main([*command, "--out", "first.json"]) == 0
        first = json.loads(Path("first.json").read_text())

        def not_trained(*_):
            raise paper_baselines.NotRun("not trained")

        patch.setattr(paper_baselines, "_train_if_needed", not_trained)
        again = [*command, "--earlier", "first.json", "--out"]
        assert main([*again, "second.json"]) == 0
        second = json.loads(Path("second.json").read_text())
        assert main([*again, "third.json", "--limit", "3"]) == 0
    run = {"command": first["command"], "commit": first["commit"]}
    for old, new in zip(first["rows"][:2], second["rows"][:2], strict=True):
        assert new == {**old, "measured_by": run}
    predictions = [pd.read_parquet(f"{name}.predictions.parquet") for name in ("first", "second")]
    pd.testing.assert_frame_equal(*predictions)
    third = json.loads(Path("third.json").read_text())
    assert {row["kind"] for row in third["rows"][:2]} == {"not_run"}  # other clips


def test_a_row_that_cannot_be_trained_carries_its_reason_and_the_others_go_on(made):
    file = made / "configs/xgb.yaml"
    before = file.read_text()
    file.write_text("family: classical\nclassifier: xgb\nparams: {leaves: 3}\n")
    try:
        assert main(["table6", "--data", "corpus", "--out", "odd/table6.json"]) == 0
    finally:
        file.write_text(before)
    table = json.loads(Path("odd/table6.json").read_text())
    assert "has no parameter leaves" in row_of(table, "XGBClassifier", "paper")["reason"]
    assert "scores" in row_of(table, "GaussianNB", "paper")


def test_the_tables_become_part_of_the_documents(made):
    (made / "README.md").write_text("<!-- results:table6 -->\n<!-- /results:table6 -->\n")
    assert report([]) == 0
    for file in ("README.md", "docs/results.md"):
        text = (made / file).read_text()
        (line,) = (line for line in text.splitlines() if "| XGBClassifier |" in line)
        assert "| 48.61 | 44.07 | 92.68 | ravdess 14 |" in line
    assert report(["--check"]) == 0


def test_what_is_no_built_corpus_is_one_line(made, capsys):
    line = refusal(capsys, main, ["table8", "--data", "configs"])
    assert line.startswith("error: --data configs: not a built corpus")
    line = refusal(capsys, main, ["table8", "--data", "corpus", "--model", "nowhere"])
    assert line.startswith("error: --model nowhere: no such folder")

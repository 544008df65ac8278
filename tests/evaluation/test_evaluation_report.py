"""Documents written from results files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from benchmarks.results_file import KINDS, cpu_flags, cpu_kind, make_parser
from evaluate_benchmarks import main as evaluate
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.benchmark_tables import BENCHMARKS, benchmarks_document
from speech_emotion.evaluation.report import main
from speech_emotion.evaluation.scoring import PROBABILITIES, score
from tests.helpers.refusals import refusal

ROOT = Path(__file__).resolve().parents[2]
README = "# Title\n\n<!-- results:ravdess -->\nold\n<!-- /results:ravdess -->\n\nThe end.\n"


def made_result() -> dict:
    """A results file of one model, from random predictions."""
    rng = np.random.default_rng(0)
    labels = rng.choice(EMOTIONS, size=60)
    predicted = np.where(rng.random(60) < 0.5, labels, rng.choice(EMOTIONS, size=60)).astype(object)
    probabilities = rng.dirichlet(np.ones(7), size=60)
    predicted[0], probabilities[0] = None, np.nan
    table = pd.DataFrame(probabilities, columns=PROBABILITIES).assign(
        utterance_id=[f"clip-{number}" for number in range(60)],
        speaker_id=[f"ravdess-{number % 4:02d}" for number in range(60)],
        label=labels,
        predicted=predicted,
        error=["clip-0: not audio"] + [None] * 59,
    )
    row = {
        "kind": "model",
        "system": "checkpoints/mini",
        "weights_sha256": hashlib.sha256(b"model.safetensorsweights").hexdigest(),
        "protocol": "speaker_disjoint",
        "overlap": {"speakers": [], "clips": 0},
        "left_out": {"speakers": [], "clips": 0},
        "scores": score(table, resamples=50, seed=0),
    }
    return {
        "benchmark": "ravdess",
        "command": "python evaluate_benchmarks.py ravdess",
        "commit": "0123456789abcdef",
        "code_changed": False,
        "seed": 0,
        "versions": {"python": "3.11"},
        "bootstrap": {"level": 0.95, "resamples": 50, "seed": 0},
        "data": {
            "kind": "corpus",
            "source": "corpus",
            "split": "test",
            "text": "corpus",
            "limit": None,
            "removed": {},
            "rejected": [],
        },
        "rows": [row, {"kind": "chance", "protocol": None, "classes": 7}],
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/ravdess.json").write_text(json.dumps(made_result()), encoding="utf-8")
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    return tmp_path


def test_documents_hold_the_measured_figures(project):
    assert main(["--root", str(project)]) == 0
    scores = made_result()["rows"][0]["scores"]
    for file in ("docs/results.md", "README.md"):
        text = (project / file).read_text(encoding="utf-8")
        (line,) = (line for line in text.splitlines() if line.startswith("| `checkpoints/mini`"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[2].startswith(f"{100 * scores['wa']:.1f} (")
        assert cells[3].startswith(f"{100 * scores['ua']:.1f} (")
        assert cells[5:7] == ["60", "4"]
        assert "No prediction, counted as an error: clip-0" in text
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# Title\n\n<!-- results:ravdess -->\n| System |")
    assert readme.endswith("<!-- /results:ravdess -->\n\nThe end.\n")


def test_writing_twice_changes_nothing(project):
    main(["--root", str(project)])
    before = {path: path.read_bytes() for path in project.rglob("*.md")}
    assert main(["--root", str(project), "--check"]) == 0
    assert main(["--root", str(project)]) == 0
    assert {path: path.read_bytes() for path in project.rglob("*.md")} == before


@pytest.mark.parametrize("file", ["README.md", "docs/results.md"])
def test_check_finds_what_is_out_of_date(project, file, capsys):
    main(["--root", str(project)])
    path = project / file
    path.write_text(path.read_text(encoding="utf-8").replace("chance", "luck"), encoding="utf-8")
    edited = path.read_bytes()
    assert main(["--root", str(project), "--check"]) == 1
    assert f"{file} is out of date" in capsys.readouterr().err
    assert path.read_bytes() == edited


def test_benchmarks_have_a_document_of_their_own(project, capsys):
    assert main(["--root", str(project)]) == 0
    assert not (project / "docs/benchmarks.md").exists()  # none was run
    folder = project / "benchmarks/results"
    folder.mkdir(parents=True)
    figures = json.loads((ROOT / "benchmarks/results/long_recording.json").read_text())
    figures["runs"][-1]["peak_mib"] = 4321
    (folder / "long_recording.json").write_text(json.dumps(figures))
    assert main(["--root", str(project), "--check"]) == 1
    assert "docs/benchmarks.md is out of date" in capsys.readouterr().err
    assert main(["--root", str(project)]) == 0
    text = (project / "docs/benchmarks.md").read_text()
    assert "4321 MiB" in text and figures["command"] in text and figures["commit"][:12] in text
    (folder / "long_recording.json").write_text("{")
    assert main(["--root", str(project)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_benchmark_that_was_run_is_shown():
    names = {path.name.split(".")[0] for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert names <= set(BENCHMARKS)
    text = (ROOT / "docs/benchmarks.md").read_text()
    assert all(f"## {BENCHMARKS[name][0]}" in text for name in names)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("README.md", README.replace("ravdess", "iemocap"), "README.md: no results for the block"),
        ("results/odd.json", "not json", "results/odd.json"),
        ("results/odd.json", "[]", "results/odd.json"),
        ("results/odd.json", '{"benchmark": "guessing"}', "results/odd.json"),
    ],
)
def test_what_cannot_be_written_is_one_line(project, file, content, expected, capsys):
    (project / file).write_text(content, encoding="utf-8")
    line = refusal(capsys, main, ["--root", str(project)])
    assert line.startswith(f"error: {expected}")


def test_no_results_at_all_is_one_clear_line(tmp_path, capsys):
    line = refusal(capsys, main, ["--root", str(tmp_path)])
    assert "run evaluate_benchmarks.py first" in line


DETAILED = {
    "compare": ["compare", "ours", "nb"],
    "calibration": ["calibration", "--model", "ours"],
    "fairness": ["fairness", "--model", "ours"],
    "robustness": ["robustness", "--model", "ours", "--condition", "noise_10"],
    "ablation": ["ablation", "--model", "ours"],
    "cross_corpus": ["cross_corpus", "--model", "ours"],
}


@pytest.fixture(scope="module")
def measured(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the results of every benchmark of one test set."""
    root = tmp_path_factory.mktemp("measured")
    for name, arguments in DETAILED.items():
        out = str(root / f"results/{name}.json")
        assert evaluate([*arguments, "--data", "corpus", "--out", out]) == 0
    assert main(["--root", str(root)]) == 0
    return root


@pytest.mark.parametrize("name", DETAILED)
def test_every_table_is_written_from_its_results(measured, name, capsys):
    assert main(["--root", str(measured), "--check"]) == 0
    file = measured / f"results/{name}.json"
    before = file.read_text(encoding="utf-8")
    result = json.loads(before)
    row = next(row for row in result["rows"] if "scores" in row)
    if name == "calibration":
        row["calibration"]["as_shipped"]["expected_calibration_error"] = 0.12345
    elif name == "fairness":
        row["groups"]["gender"]["groups"]["male"]["wa"] = 0.12345
    else:
        row["scores"]["ua"] = 0.12345
    file.write_text(json.dumps(result), encoding="utf-8")
    try:
        assert main(["--root", str(measured), "--check"]) == 1
        assert "docs/results.md is out of date" in capsys.readouterr().err
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_figure_that_shows_something_else_is_out_of_date(measured, capsys):
    figure = measured / "docs/images/calibration-reliability.png"
    assert f"(images/{figure.name})" in (measured / "docs/results.md").read_text(encoding="utf-8")
    drawn = figure.read_bytes()
    other = (measured / "docs/images/robustness-curves.png").read_bytes()
    figure.write_bytes(other)
    assert main(["--root", str(measured), "--check"]) == 1
    assert f"{figure.name} is out of date" in capsys.readouterr().err
    figure.unlink()
    assert main(["--root", str(measured)]) == 0
    assert figure.read_bytes() == drawn


def write_card(project: Path, weights: bytes) -> Path:
    card = project / "checkpoints/mini/README.md"
    card.parent.mkdir(parents=True)
    (card.parent / "model.safetensors").write_bytes(weights)
    block = "<!-- results:ravdess -->\n<!-- /results:ravdess -->\n"
    card.write_text(f"---\nlicense: mit\n---\n\n# A model\n\n{block}", encoding="utf-8")
    return card


def test_the_card_gets_its_model_index_with_the_protocol_in_the_split(project):
    card = write_card(project, b"weights")
    assert main(["--root", str(project)]) == 0
    data = ModelCard.load(card).data
    scores = made_result()["rows"][0]["scores"]
    values = {entry.metric_type: entry.metric_value for entry in data.eval_results}
    assert values == {
        "accuracy": round(100 * scores["wa"], 2),
        "recall": round(100 * scores["ua"], 2),
        "expected_calibration_error": round(100 * scores["expected_calibration_error"], 2),
    }
    for entry in data.eval_results:
        assert "speaker-disjoint" in entry.dataset_split
        assert "4 speakers, 0 of them in the training data" in entry.dataset_split
        assert entry.dataset_config == "speaker-disjoint, 7 classes"
    assert data.license == "mit" and "# A model" in card.read_text(encoding="utf-8")
    assert main(["--root", str(project), "--check"]) == 0


def test_other_weights_get_no_entries_of_a_model_in_the_same_place(project):
    card = write_card(project, b"trained again")
    assert main(["--root", str(project)]) == 0
    assert ModelCard.load(card).data.eval_results is None
    written = (project / "docs" / "results.md").read_text()
    assert "`checkpoints/mini` has had other weights since" in written


@pytest.mark.skipif(not (ROOT / "results").is_dir(), reason="nothing was measured yet")
def test_the_projects_own_documents_are_up_to_date(capsys):
    assert main(["--root", str(ROOT), "--check"]) == 0, capsys.readouterr().err


def test_each_kind_of_cpu_has_its_own_table():
    figures = json.loads((ROOT / "benchmarks/results/throughput.amx.json").read_text())
    other = figures | {"machine": {"cpu": "AVX2", "flags": ["avx2", "fma"]}}
    text = benchmarks_document({"throughput.amx": figures, "throughput.avx2": other})
    assert text.count("## Throughput") == 1
    assert text.index("CPU with AMX") < text.index("CPU with AVX2") and "flags avx2 fma" in text


def test_the_kind_of_this_cpu_names_the_results_file():
    kind = cpu_kind()
    assert kind not in KINDS or KINDS[kind] <= cpu_flags()
    assert (
        make_parser("", "benchmarks/live.py").get_default("json").name
        == f"live.{kind.lower().replace('-', '')}.json"
    )

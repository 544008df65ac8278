"""Every "not run here" names commands that work: tried against a Hub with small weights."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from evaluate_benchmarks import main as evaluate
from speech_emotion.evaluation import paper_baselines
from tests.evaluation.conftest import inside
from tests.helpers.baseline_clips import rows
from tests.helpers.hub_models import WHISPER, push_hub_models
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.made_benchmark import write_model
from tests.helpers.toy_corpus import write_corpus
from tests.helpers.training_fixtures import reset_accelerate
from train import main as train

ROOT = Path(__file__).resolve().parents[2]
NEURAL = paper_baselines.TABLES["table8"][3:]
SHORT = ["--num-train-epochs", "1"]
QUICK = {
    "mobilenet": ["--mixed-precision", "no", "--block-shift", "1", "--decision-shift", "1"],
    "cnn1d": ["--mixed-precision", "no", "--seconds", "0.3", "--dense", "8", "8"],
}
"""Added to every command, and to those of a baseline, to save time."""


def clips(speakers: range, corpus: str = "ravdess") -> list[dict]:
    made = rows(speakers)
    for row in made:
        name = row["speaker_id"].replace("made", corpus)
        row |= {"corpus": corpus, "speaker_id": name, "fold": int(name[-2:]) % 3}
        row |= {"transcript": "kids are talking", "utterance_id": f"{corpus}-{row['utterance_id']}"}
    return made


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    """A Hub with small models."""
    hub = LoopbackHub()
    push_hub_models(hub, tmp_path_factory.mktemp("hub"))
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, hub: LoopbackHub) -> Iterator[Path]:
    """A folder with a corpus and a model, as in a checkout."""
    root = tmp_path_factory.mktemp("not_run")
    first = [*clips(range(2)), *clips(range(4, 5), "tess")]
    splits = {"train": first, "validation": clips(range(2, 3)), "test": clips(range(3, 4))}
    write_corpus(root / "corpus", **splits)
    known = ["ravdess-00", "ravdess-01", "ravdess-02", "tess-04"]
    write_model(root / "model", {"protocol": "speaker_disjoint", "speakers": known})
    (root / "checkpoints").symlink_to(ROOT / "checkpoints")
    with inside(root), pytest.MonkeyPatch.context() as patch:
        hub.use_here(patch, root / "hf")
        patch.setitem(paper_baselines.TABLES, "table8", NEURAL)
        yield root


@pytest.fixture(scope="module")
def reasons(place: Path) -> dict[tuple[str, str], str]:
    """The reason of every result that was not run, by its table and its name."""
    found = {}
    for table, more in (
        ("table8", []),
        ("ravdess", ["--model", "model"]),
        ("cross_corpus", ["--model", "model"]),
        ("ablation", ["--model", "model"]),
    ):
        assert evaluate([table, "--data", "corpus", *more]) == 0
        for row in json.loads(Path(f"results/{table}.json").read_text())["rows"]:
            if row["kind"] == "not_run":
                name = row.get("variant") or row.get("corpus") or row["system"]
                found[table, f"{name}, {row.get('protocol')}"] = row["reason"]
    return found


def try_commands(reason: str) -> list[str]:
    """Run every training that a reason names, for one epoch; return the folders."""
    folders = []
    commands = re.findall(r"`python train\.py ([^`]+)`", reason)
    assert commands
    for command in commands:
        reset_accelerate()
        more = [word for name, words in QUICK.items() if name in command for word in words]
        assert train([*shlex.split(command), *SHORT, *more]) == 0
        folders += re.findall(r"--output-dir (\S+)", command)
    return folders


@pytest.mark.parametrize("row", NEURAL, ids=lambda row: row.config)
def test_the_commands_of_table_8_train_what_they_say(reasons, row):
    """In the paper's protocol; those of the other one differ in its name."""
    reason = reasons["table8", f"{row.name}, paper"]
    assert reasons["table8", f"{row.name}, speaker_disjoint"].count("`") == reason.count("`")
    assert try_commands(reason)[-1] == f"runs/{row.config}_paper"


def test_rows_that_were_run_are_no_longer_listed(reasons, capsys):
    trained = [row for row in NEURAL if Path(f"runs/{row.config}_paper/config.json").is_file()]
    # The baselines were trained here with other settings than those of their configs.
    trained = [row for row in trained if "hubert" in row.config]
    assert evaluate(["table8", "--data", "corpus"]) == 0
    table = json.loads(Path("results/table8.json").read_text())
    kinds = {(row["system"], row["protocol"]): row["kind"] for row in table["rows"][:-1]}
    assert trained and [kinds[row.name, "paper"] for row in trained] == ["row"] * len(trained)
    printed = capsys.readouterr().out
    assert ", paper's, speaker-dependent: needs" not in printed
    assert "all-MiniLM-L6-v2 in that of BERT base" in printed


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("ravdess", "multimodal model, paper"),
        ("ravdess", "cross-validation, folds"),
        ("cross_corpus", "tess, None"),
        ("ablation", "trained audio-only, None"),
    ],
)
def test_the_commands_of_other_tables_work_and_their_rows_vanish(reasons, table, name):
    folder = try_commands(reasons[table, name])[-1]
    flag = re.search(rf"`(--\w+) {folder}`", reasons[table, name])[1]
    assert evaluate([table, "--data", "corpus", "--model", "model", flag, folder]) == 0
    rest = json.loads(Path(f"results/{table}.json").read_text())["rows"]
    for row in rest:
        label = row.get("variant") or row.get("corpus") or row.get("system")
        if row["kind"] == "not_run" and f"{label}, {row.get('protocol')}" == name:
            assert "train.py" not in row["reason"]


def test_a_transcriber_that_is_not_there_comes_with_the_command_that_fetches_it(
    place, hub, monkeypatch
):
    shutil.copytree("model", "hears", dirs_exist_ok=True)
    config = json.loads(Path("hears/config.json").read_text()) | {"transcriber": WHISPER}
    Path("hears/config.json").write_text(json.dumps(config))
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(place / "empty"))
        arguments = ["--model", "hears", "--limit", "2", "--out", "hears.json"]
        assert evaluate(["ablation", "--data", "corpus", *arguments]) == 0
    rows = json.loads(Path("hears.json").read_text())["rows"]
    (row,) = (row for row in rows if row["variant"].startswith("transcript by"))
    (command,) = re.findall(r"`hf ([^`]+)`", row["reason"])
    assert command == f"download {WHISPER}"
    before = len(hub.downloads())
    hub.run(["-m", "huggingface_hub.cli.hf", *command.split()])
    assert any(name.endswith("model.safetensors") for name in hub.downloads()[before:])


def test_no_reason_has_a_placeholder_and_all_name_a_way(reasons):
    for (table, name), reason in reasons.items():
        assert not re.search(r"FOLDER|OTHERS|configs/mini\.yaml", reason), (table, name)
    told = [key for key, reason in reasons.items() if "`" not in reason]
    # What the data itself rules out: a built corpus has been cleaned, the model has no transcriber.
    assert {name for _, name in told} <= {
        "transcript by the model's transcriber, None",
        "without cleaning, None",
    }


def test_a_model_and_a_baseline_stay_in_the_table_when_they_are_not_given_again(place):
    command = ["table8", "--data", "corpus", "--out", "results/table8.json"]
    assert evaluate([*command, "--model", "model"]) == 0
    first = json.loads(Path("results/table8.json").read_text())
    assert evaluate([*command, "--runs", "elsewhere"]) == 0
    second = json.loads(Path("results/table8.json").read_text())
    run = {"command": first["command"], "commit": first["commit"]}
    scored = [row for row in first["rows"] if "scores" in row]
    assert {row["kind"] for row in scored} >= {"model"}
    kept = [row for row in second["rows"] if "scores" in row]
    assert kept == [{"measured_by": run, **row} for row in scored]

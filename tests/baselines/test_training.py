"""Rows on the command line: one command each, and one line for what cannot be trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import train as command
from speech_emotion import baselines
from speech_emotion.baselines import BaselineError
from speech_emotion.training.baseline_config import CONFIGS, family_of
from speech_emotion.training.parsing import parse_config
from tests.helpers.baseline_clips import rows
from tests.helpers.toy_corpus import write_corpus

CONFIG_FILES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
ROWS = [path for path in CONFIG_FILES if family_of(["--config", str(path)])]


def refusal(capsys: pytest.CaptureFixture, arguments: list[str]) -> str:
    """Run train.py, which must fail with one line; return that line."""
    assert command.main(arguments) == 2
    written = capsys.readouterr().err.replace("\r", "\n").split("\n")
    lines = [line for line in written if line.startswith("train.py:") or "Error" in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_every_config_is_understood_and_named_after_its_row(path):
    kind = CONFIGS[family_of(["--config", str(path)])]
    given = ["--config", str(path), "--data", "corpus"]
    config = parse_config(kind, given, program="train.py", description="a baseline")
    assert config.output_dir == f"runs/{path.stem}"


def test_there_is_a_config_for_every_row():
    assert len(ROWS) == 8 + 1 + 4 + 1


def test_one_command_trains_a_row_and_writes_all_that_is_known_of_it(
    corpus, tmp_path, waveforms, capsys
):
    out = tmp_path / "knn"
    config = next(path for path in ROWS if path.stem == "knn")
    options = ["--data", str(corpus), "--output-dir", str(out), "--cache", str(tmp_path / "cache")]
    assert command.main(["--config", str(config), *options]) == 0
    assert "validation WA" in capsys.readouterr().out
    row = baselines.load(out)
    assert row.predict_proba(waveforms).argmax(axis=1).tolist() == list(range(7))
    training = row.config["training"]
    assert training["protocol"] == "speaker_disjoint" and training["data"] == ["ravdess"]
    assert training["speakers"] == [f"made-{n:02d}" for n in range(8)]
    assert training["train_clips"] == 42 and training["seed"] == 0
    assert {"sklearn", "skops", "librosa", "python"} <= set(training["versions"])
    assert len(training["fingerprint"]) == 64
    results = json.loads((out / "results.json").read_text())
    assert results["validation"] == {"wa": 1.0, "ua": 1.0}
    assert str(tmp_path) not in (out / "config.json").read_text()


def write_config(folder: Path, **settings) -> str:
    path = folder / "row.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"family": "svm"}, "family must be classical or mobilenet_v2 or cnn1d, not 'svm'"),
        ({"family": "classical", "clasifier": "knn"}, "unknown key clasifier"),
        ({"family": "classical", "classifier": "svm"}, "classifier 'svm' is not known"),
        ({"family": "classical", "folds": 1}, "folds must be at least 2"),
        ({"family": "classical", "grid": {"p": 1}}, "grid: p must be a list"),
        ({"family": "cnn1d", "num_train_epochs": 0}, "num_train_epochs must be at least 1"),
        ({"family": "cnn1d", "seconds": 0.0}, "seconds must be 0.1 to 60"),
        ({"family": "cnn1d", "dense": [3]}, "dense must be two widths"),
        ({"family": "mobilenet_v2", "block_shift": 2.0}, "block_shift must be 0.001 to 1"),
        ({"family": "mobilenet_v2", "clips_share": 0.0}, "clips_share must be above 0"),
    ],
)
def test_a_wrong_setting_is_one_line(settings, line, corpus, tmp_path, capsys):
    options = ["--data", str(corpus), "--output-dir", str(tmp_path / "row")]
    options += ["--config", write_config(tmp_path, cache=str(tmp_path / "cache"), **settings)]
    assert line in refusal(capsys, options)
    assert not (tmp_path / "row").exists()


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (range(1, 2), "all training clips are calm: at least two emotions are needed"),
        (range(1, 7), "no training clip is angry; --allow-missing trains"),
    ],
)
def test_missing_emotions_are_one_line(family, labels, line, tmp_path, capsys):
    made = rows(range(2), labels=labels)
    corpus = write_corpus(tmp_path / "corpus", train=made, validation=made[:2])
    settings = {"family": family} | ({"classifier": "knn"} if family == "classical" else {})
    options = ["--data", str(corpus), "--output-dir", str(tmp_path / "row")]
    options += ["--cache", str(tmp_path / "cache")]
    config = write_config(tmp_path, **settings)
    assert line in refusal(capsys, [*options, "--config", config])
    assert not (tmp_path / "row").exists()


def test_a_row_may_be_trained_without_an_emotion(tmp_path, waveforms):
    made = rows(range(3), labels=range(1, 7))
    corpus = write_corpus(tmp_path / "corpus", train=made, validation=made[:6])
    out = tmp_path / "row"
    options = ["--data", str(corpus), "--output-dir", str(out), "--cache", str(tmp_path / "cache")]
    config = write_config(tmp_path, family="classical", classifier="xgb", params={"max_depth": 2})
    assert command.main([*options, "--config", config, "--allow-missing"]) == 0
    assert (baselines.load(out).predict_proba(waveforms)[:, 0] == 0).all()


def test_only_short_clips_are_one_line(tmp_path, capsys):
    made = rows(range(2), seconds=0.5)
    corpus = write_corpus(tmp_path / "corpus", train=made, validation=made)
    config = write_config(tmp_path, family="mobilenet_v2", pretrained="")
    options = ["--data", str(corpus), "--output-dir", str(tmp_path / "row"), "--config", config]
    line = refusal(capsys, [*options, "--cache", str(tmp_path / "cache")])
    assert "no clip of the split can be used: 0.50 s of audio" in line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "no trained baseline"),
        ("{", "is not JSON"),
        ("[]", "its family is None"),
        ('{"family": "hubert"}', "its family is 'hubert', known are classical"),
        ('{"family": "cnn1d", "labels": ["happy"]}', "its labels are \\['happy'\\]"),
    ],
)
def test_a_folder_that_is_no_row_is_one_line(content, line, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(BaselineError, match=line) as error:
        baselines.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", ["feature_version", "image_version"])
def test_a_row_of_another_version_is_one_line(key, train):
    if key == "feature_version":
        folder, _ = train("classical", classifier="gaussian_nb")
    else:
        small = {"depth_multiplier": 0.1}
        folder, _ = train(
            "mobilenet_v2",
            pretrained="",
            model=small,
            num_train_epochs=1,
            limit=9,
            allow_missing=True,
        )
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: 99}))
    with pytest.raises(BaselineError, match="of version 99, this code makes version 1"):
        baselines.load(folder)


def test_damaged_weights_are_one_line(train):
    folder, _ = train("classical", classifier="knn")
    (folder / "classifier.skops").write_bytes(b"damaged")
    with pytest.raises(BaselineError, match="cannot be loaded") as error:
        baselines.load(folder)
    assert "\n" not in str(error.value)


def test_another_seed_is_another_tree(train, waveforms):
    params = {"max_features": 5}
    found = []
    for seed in (0, 0, 1):
        folder, _ = train("classical", classifier="decision_tree", params=params, seed=seed)
        found.append((folder / "classifier.skops").stat().st_size)
        trained = baselines.load(folder)
        assert np.isfinite(trained.predict_proba(waveforms)).all()
    assert found[0] == found[1]

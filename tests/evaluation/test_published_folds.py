"""Results of a cross-validation, and each fold compared with its training data."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpus_builder.sources.ravdess import FOLDS
from evaluate_benchmarks import main
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.folds import read_folds
from speech_emotion.evaluation.scoring import PROBABILITIES


def write_folds(folder: Path, *, heard: dict[int, list[str]] | None = None) -> pd.DataFrame:
    """A cross-validation of three folds as train.py writes it, from random answers."""
    rng = np.random.default_rng(0)
    tables = []
    for fold, actors in list(enumerate(FOLDS))[:3]:
        names = [f"ravdess-{actor:02d}" for actor in actors for _ in range(14)]
        labels = rng.choice(EMOTIONS, size=len(names))
        wrong = rng.choice(EMOTIONS, size=len(names))
        table = pd.DataFrame(
            rng.dirichlet(np.ones(7), size=len(names)), columns=PROBABILITIES
        ).assign(
            fold=fold,
            utterance_id=[f"{name}-{number}" for number, name in enumerate(names)],
            speaker_id=names,
            label=labels,
            predicted=np.where(rng.random(len(names)) < 0.4 + 0.1 * fold, labels, wrong),
            error=None,
            corpus="ravdess",
        )
        tables += [table.assign(text="corpus"), table.assign(text="none", predicted=wrong)]
        if heard is not None:
            (folder / f"fold_{fold}").mkdir(parents=True)
            config = {"training": {"speakers": heard.get(fold, [])}}
            (folder / f"fold_{fold}/config.json").write_text(json.dumps(config))
    folder.mkdir(exist_ok=True)
    table = pd.concat(tables, ignore_index=True)
    table.to_parquet(folder / "predictions.parquet")
    told = {"command": "python train.py --folds all", "commit": "abc", "data": {}}
    (folder / "cross_validation.json").write_text(json.dumps(told))
    return table


def read(folder: Path, **options: str) -> dict:
    return read_folds(str(folder), **{"corpus": "ravdess", "text": "corpus", "seed": 0, **options})[
        0
    ]


def test_folds_their_mean_and_all_together(tmp_path):
    table = write_folds(tmp_path / "cv", heard={}).query("text == 'corpus'")
    row = read(tmp_path / "cv")
    right = table.label == table.predicted
    by_fold = right.groupby(table.fold).mean()
    assert [fold["wa"] for fold in row["folds"].values()] == pytest.approx(by_fold.to_list())
    assert row["mean"]["wa"] == pytest.approx(by_fold.mean())
    assert row["scores"]["wa"] == pytest.approx(right.mean())
    low, high = row["scores"]["bootstrap"]["over_speakers"]["wa"]
    assert low < right.mean() < high
    assert row["published"] and row["overlap"]["speakers"] == []


def test_each_fold_is_compared_with_the_record_of_its_own_checkpoint(tmp_path):
    write_folds(tmp_path / "cv", heard={1: ["ravdess-03", "ravdess-01"]})
    assert read(tmp_path / "cv")["overlap"]["speakers"] == ["ravdess-03"]
    record = json.dumps({"speakers": []})  # the file is read before the config
    (tmp_path / "cv/fold_1/training_record.json").write_text(record)
    assert read(tmp_path / "cv")["overlap"]["speakers"] == []
    (tmp_path / "cv/fold_1/training_record.json").unlink()
    (tmp_path / "cv/fold_1/config.json").unlink()
    assert read(tmp_path / "cv")["overlap"] is None


def test_the_result_stands_beside_the_models(bench, capsys):
    write_folds(Path("cv"), heard={})
    # The corpus of tones is named after RAVDESS, and so are its clips' speakers.
    arguments = ["ravdess", "--model", "ours", "--data", "corpus", "--folds", "cv"]
    assert main([*arguments, "--out", "folds.json"]) == 0
    printed = capsys.readouterr().out
    assert "| `cv` | speaker-disjoint, 3 published folds |" in printed
    result = json.loads(Path("folds.json").read_text())
    assert result["command"].endswith("--folds cv --out folds.json")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"corpus": "tess"}, "empty split: no clip of tess"),
        ({"speaker_id": None}, {}, "some clips have no speaker"),
        ({"speaker_id": "ravdess-01"}, {}, "a speaker is in two folds"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path, change, options, message):
    table = write_folds(tmp_path / "cv").assign(**change)
    table.to_parquet(tmp_path / "cv/predictions.parquet")
    with pytest.raises(EvaluationError, match=f"^--folds [^\n]*{message}$"):
        read(tmp_path / "cv", **options)

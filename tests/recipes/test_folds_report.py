"""The recipe's table: classifiers on the folds of a corpus of tones, and its refusals."""

import json

import numpy as np
from datasets import Dataset
from sklearn.neighbors import KNeighborsClassifier

from recipes.mini import folds_report as recipe
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.folds import FIGURES_FILE, mini_folds_table
from speech_emotion.evaluation.scoring import prediction_table
from speech_emotion.training.held_out import PREDICTIONS_FILE


def rows_of(fold_count=3, corpus="ravdess"):
    """Two clips of each emotion a fold; each fold is a speaker."""
    rows = [
        {
            "label": label,
            "corpus": corpus,
            "fold": fold,
            "speaker_id": f"{corpus}-{fold}",
            "utterance_id": f"{corpus}-{fold}-{label}-{take}",
            "transcript": None,
        }
        for fold in range(fold_count)
        for label in range(7)
        for take in range(2)
    ]
    return Dataset.from_list(rows)


def test_a_fold_is_answered_from_the_others_only():
    """A neighbour finds the emotion where the other folds show it, and errs where they lie."""
    rows = rows_of()
    labels, folds = np.array(rows["label"][:]), np.array(rows["fold"][:])
    shown = np.where(folds == 2, (labels + 1) % 7, labels)  # in fold 2 every clip is misleading
    found = recipe.cross_validate(
        rows, np.eye(7)[shown], KNeighborsClassifier(n_neighbors=1), pooled=False
    )
    assert [found["folds"][fold]["ua"] for fold in ("0", "1", "2")] == [1.0, 1.0, 0.0]
    assert found["pooled"]["clips"] == 42 and found["pooled"]["speakers"] == 3
    assert found["mean"]["ua"] == 2 / 3


def test_the_table_shows_every_row_with_its_folds():
    row = recipe.cross_validate(
        rows_of(), np.eye(7)[rows_of()["label"][:]], KNeighborsClassifier(1), pooled=True
    )
    result = {
        "command": "python -m recipes.mini.folds_report",
        "recipe": [{"name": "ours", "heard": "all corpora", "command": "python train.py", **row}],
        "references": [{"name": "knn", "heard": "ravdess", **row}],
    }
    table = mini_folds_table(json.loads(json.dumps(result)))
    assert "| ours | all corpora | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 (100.0 to 100.0)" in table
    assert "| knn | ravdess |" in table
    line = recipe.summary(result["references"][0])
    assert line == "knn (ravdess): UA 1.000 (1.000 to 1.000)"
    assert "`python train.py`, `python -m recipes.mini.folds_report`" in table


def test_folders_without_figures_and_data_without_folds_are_one_line(tmp_path, capsys):
    assert recipe.main(["--data", "nowhere", "--folds", str(tmp_path)]) == 2
    assert f"no finished cross-validation ({FIGURES_FILE})" in capsys.readouterr().err
    assert recipe.main(["--data", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: --data {tmp_path}: ") and line.count("\n") == 1


def test_rows_beside_are_kept_from_an_earlier_file_of_the_same_clips(tmp_path, capsys):
    row = recipe.cross_validate(
        rows_of(), np.eye(7)[rows_of()["label"][:]], KNeighborsClassifier(1), pooled=True
    )
    rows = rows_of()
    table = prediction_table(ClipSet(clips=rows, cleaned=True), list(np.eye(7)[rows["label"][:]]))
    table = table.assign(fold=rows["fold"][:], corpus="ravdess", text="none")
    table.to_parquet(tmp_path / PREDICTIONS_FILE)
    figures = {
        "command": "python train.py",
        "commit": "c" * 40,
        "settings": {"corpora": ["ravdess"], "model": {"audio_config": {"model_type": "hubert"}}},
    }
    (tmp_path / FIGURES_FILE).write_text(json.dumps(figures))
    earlier = tmp_path / "earlier.json"
    references = json.loads(json.dumps([{"name": "knn", "heard": "ravdess", **row}]))
    run = {"command": "python -m recipes.mini.folds_report", "commit": "a" * 40}
    earlier.write_text(json.dumps({**run, "references": references}))
    command = ["--data", "corpus", "--folds", str(tmp_path), "--references", str(earlier)]
    command += ["--out", str(tmp_path / "new.json")]
    for _ in range(2):  # the second time from what the first wrote: the origin stays
        assert recipe.main(command) == 0
        result = json.loads((tmp_path / "new.json").read_text())
        assert result["references"] == references and result["references_by"] == run
        command[command.index(str(earlier))] = str(tmp_path / "new.json")
        earlier = tmp_path / "new.json"
    table = mini_folds_table(result)
    assert "at commit aaaaaaaaaaaa" in table
    assert ", no distillation, without text | ravdess |" in table
    result["references"][0]["pooled"]["clips"] += 1
    earlier.write_text(json.dumps(result))
    assert recipe.main(command) == 2
    assert "measured on other clips" in capsys.readouterr().err

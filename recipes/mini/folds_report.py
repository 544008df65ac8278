"""Cross-validation of the recipe of ``checkpoints/mini``, compared with references.

    python -m recipes.mini.folds_report --data corpus --folds runs/mini_folds

``make mini-folds`` trains the folds. The references are computed here, on the same folds of the
same clips: the teacher, frozen, with logistic regression on the mean and deviation of its layers;
and the 94 features of the paper with each of its eight classifiers. Each is trained on RAVDESS only
and, in a second result, on RAVDESS and the other corpora, as the recipe is.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Audio, Dataset, concatenate_datasets
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from corpus_builder.provenance import versions
from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from recipes.mini.teacher import WhisperTeacher
from speech_emotion.baselines.classical import CLASSIFIERS, new_classifier
from speech_emotion.baselines.feature_store import stored_features
from speech_emotion.evaluation import EvaluationError
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.cross_validation import figures_of, logit_columns
from speech_emotion.evaluation.folds import FIGURES_FILE, read_folds
from speech_emotion.evaluation.provenance import command_line, git_state, portable, run_of
from speech_emotion.evaluation.scoring import prediction_table
from speech_emotion.training.data import open_splits
from speech_emotion.training.folds import Selection
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.provenance import PACKAGES

TEACHER_LAYERS = [1, 2, 3, 4]
SEED = 0
CORPUS = "ravdess"


def teacher_vectors(rows: Dataset, teacher: str) -> np.ndarray:
    """Mean and deviation over time of every layer of the teacher.

    Returns:
        float32 ``(clips, 2 * layers * hidden size)``.
    """
    encoder = WhisperTeacher(teacher, TEACHER_LAYERS)
    vectors = []
    for row in tqdm(rows, desc="teacher"):
        states = encoder(load_audio(row["audio"]))
        vectors.append(np.concatenate([states.mean(0).ravel(), states.std(0).ravel()]))
    return np.stack(vectors)


def cross_validate(
    rows: Dataset, vectors: np.ndarray, model: BaseEstimator, *, pooled: bool
) -> Any:
    """Fit a classifier on all folds but one, and predict that one, for every fold of RAVDESS.

    Args:
        vectors: ``(clips, features)``, in the order of ``rows``.
        model: is fitted anew for every fold.
        pooled: train on the clips of other corpora as well.

    Returns:
        what :func:`~speech_emotion.evaluation.cross_validation.figures_of` says, without texts.
    """
    labels, corpora = np.array(rows["label"][:]), np.array(rows["corpus"][:])
    folds = np.array([-1 if fold is None else fold for fold in rows["fold"][:]])
    of_corpus = corpora == CORPUS
    tables = []
    for fold in sorted(set(folds[of_corpus])):
        test = of_corpus & (folds == fold)
        train = ~test if pooled else of_corpus & ~test
        fitted = clone(model).fit(vectors[train], labels[train])
        answered = np.zeros((int(test.sum()), len(EMOTIONS)))
        answered[:, fitted.classes_] = fitted.predict_proba(vectors[test])
        clips = ClipSet(clips=rows.select(np.flatnonzero(test)), cleaned=True)
        table = prediction_table(clips, list(answered))
        table["fold"], table["text"] = int(fold), "none"
        table[logit_columns()] = np.log(answered.clip(min=np.finfo(np.float64).tiny))
        tables.append(table)
    figures = figures_of(pd.concat(tables, ignore_index=True))
    return _short({name: figures[name]["none"] for name in ("folds", "mean", "pooled")})


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a cross-validation, as far as the table shows them."""
    pooled = figures["pooled"]
    return {
        "folds": figures["folds"],
        "mean": figures["mean"],
        "pooled": {
            "clips": pooled["clips"],
            "speakers": pooled["speakers"],
            "wa": pooled["wa"],
            "ua": pooled["ua"],
            "over_speakers": pooled["bootstrap"]["over_speakers"],
            "expected_calibration_error": pooled["expected_calibration_error"],
        },
    }


def recipe_rows(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Read what ``train.py --folds`` wrote.

    Raises:
        EvaluationError: a folder holds no cross-validation.
    """
    rows = []
    for folder in folders:
        for text, said in (("corpus", "with its transcript"), ("none", "without text")):
            result, _ = read_folds(str(folder), corpus=CORPUS, text=text, seed=SEED)
            if result["text"] != text:  # audio-only
                continue
            settings = json.loads((folder / FIGURES_FILE).read_text(encoding="utf-8"))["settings"]
            # Without a pretrained encoder everything was learnt from the labelled clips.
            start = settings["model"].get("audio_config")
            taught = ", no distillation" if isinstance(start, dict) else ""
            rows.append(
                {
                    "name": f"{portable(str(folder))}{taught}, {said}",
                    "heard": ", ".join(settings["corpora"]) or "all corpora",
                    "command": result["command"],
                    "commit": result["commit"],
                    **_short({**result, "pooled": result["scores"]}),
                }
            )
    return rows


def reference_rows(data: str, teacher: str, cache: Path) -> list[dict[str, Any]]:
    """Compute the references.

    Raises:
        EvaluationError: the corpus has no folds of RAVDESS, or a clip cannot be used.
    """
    try:
        splits = open_splits(data, "natural", EMOTIONS)
        Selection(fold=0, fold_corpus=CORPUS).available_folds(splits)
    except ConfigError as error:
        raise EvaluationError(f"--data {data}: {error}") from error
    rows = concatenate_datasets(list(splits.values())).cast_column("audio", Audio(decode=False))
    features = stored_features(rows, cache, what="natural")
    if features.left_out:
        clip, reason = next(iter(features.left_out.items()))
        raise EvaluationError(f"--data {data}: {clip}: {reason}")
    vectors = {"94 features": np.stack(features.values)}
    models = {f"94 features, {name}": new_classifier(name, seed=SEED) for name in CLASSIFIERS}
    if teacher:
        vectors["teacher"] = teacher_vectors(rows, teacher)
        models["teacher, frozen, logistic regression"] = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
        )
    found = []
    for name, model in tqdm(models.items(), desc="rows"):
        source = next(key for key in vectors if name.startswith(key))
        for pooled in (False, True) if len(set(rows["corpus"])) > 1 else (False,):
            heard = "all corpora" if pooled else CORPUS
            row = cross_validate(rows, vectors[source], model, pooled=pooled)
            found.append({"name": name, "heard": heard, **row})
    return found


def earlier_references(file: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Read the references from an earlier results file.

    Returns:
        the results, and ``command`` and ``commit`` of the run that computed them.

    Raises:
        EvaluationError: it is not such a file.
    """
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        return result["references"], result.get("references_by") or run_of(result)
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"--references {file}: no results file of this command") from error


def summary(row: dict[str, Any]) -> str:
    """One result in one line, UA with its interval over speakers."""
    low, high = row["pooled"]["over_speakers"]["ua"]
    return f"{row['name']} ({row['heard']}): UA {row['pooled']['ua']:.3f} ({low:.3f} to {high:.3f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; a wrong one is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="recipes.mini.folds_report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", required=True, help="built corpus with RAVDESS in it")
    parser.add_argument(
        "--folds", type=Path, nargs="*", default=[], help="folders of train.py --folds all"
    )
    parser.add_argument(
        "--teacher",
        default="",
        help="Hub id or folder of a Whisper model; no reference of the teacher when empty",
    )
    parser.add_argument(
        "--references",
        type=Path,
        help="results file whose references are kept",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("runs/cache"),
        help="folder of the 94 features (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/mini_folds.json"),
        help="results file to write (%(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        recipe = recipe_rows(options.folds)
        if options.references:
            references, run = earlier_references(options.references)
            more = {"references_by": run}
            clips = {row["pooled"]["clips"] for row in [*recipe, *references]}
            if len(clips) > 1:
                raise EvaluationError(
                    f"--references {options.references}: measured on other clips than the folds"
                )
        else:
            references, more = reference_rows(options.data, options.teacher, options.cache), {}
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given = sys.argv[1:] if arguments is None else arguments
    result = {
        "benchmark": "mini_folds",
        "command": command_line(["recipes.mini.folds_report", *map(portable, given)], program="-m"),
        **git_state(),
        "seed": SEED,
        "versions": versions(PACKAGES),
        "data": portable(options.data),
        "recipe": recipe,
        "references": references,
        **more,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    for row in [*recipe, *references]:
        print(summary(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())

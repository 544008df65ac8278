"""Cross-validation: one training run per fold, each tested on its fold.

The folder holds a checkpoint for every fold, the predictions of all test clips in
``predictions.parquet``, and the figures in ``cross_validation.json``. A finished fold is not
trained again.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import PartialState
from datasets import Dataset
from scipy.special import softmax

from corpus_builder.provenance import versions
from hub_model.calibration import fit_temperature
from hub_model.labels import EMOTIONS, Labels
from speech_emotion.evaluation.classifiers import (
    PipelineClassifier,
    load_classifier,
    predict_clips,
)
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.folds import FIGURES_FILE
from speech_emotion.evaluation.models import open_model
from speech_emotion.evaluation.provenance import command_line, git_state, portable
from speech_emotion.evaluation.scoring import (
    answered_of,
    classes_of,
    columns_of,
    fold_scores,
    ids_of,
    log_probabilities,
    prediction_table,
    score,
)
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import load_splits, open_splits, speakers_and_fingerprint
from speech_emotion.training.folds import Selection
from speech_emotion.training.held_out import PREDICTIONS_FILE
from speech_emotion.training.provenance import DECIDES_NOTHING, PACKAGES
from speech_emotion.training.saving import check_settings, refuse_failed_writes


def logit_columns(classes: Sequence[str] = EMOTIONS) -> list[str]:
    """Names of the columns that hold the logits."""
    return [f"logit_{name}" for name in classes]


FLAT = 20.0
"""Temperature at which folds are predicted: no probability then reaches the highest that the
pipeline gives, so that the logits can be read off."""

TEXTS = ("corpus", "none")
"""A clip is predicted with its transcript, and once more without text."""


def cross_validate(
    config: TrainConfig,
    train: Callable[[TrainConfig], list[dict[str, Any]]],
    arguments: list[str] | None,
) -> str:
    """Train and test every fold that ``config.folds`` names, and score all predictions together.

    Args:
        config: settings of every run; ``output_dir`` gets a folder for each fold.
        train: trains one of them.
        arguments: the command line, to be recorded.

    Returns:
        one line on the pooled figures.

    Raises:
        ConfigError, TrainingFailed, AudioError: as the training of one fold.
    """
    out = Path(config.output_dir)
    if config.push_to_hub:
        raise ConfigError("push_to_hub is for one model, not for folds")
    splits = open_splits(config.data, config.protocol)
    existing = Selection.of(config).available_folds(splits)
    folds = config.fold_numbers() or existing
    missing = [fold for fold in folds if fold not in existing]
    if missing:
        raise ConfigError(f"there is no fold {missing[0]}; there are {existing}")
    _check_out(config, out)
    tables = []
    for fold in folds:
        one = replace(
            config,
            fold=fold,
            folds=None,
            temperature_from=None,
            output_dir=str(out / f"fold_{fold}"),
            feature_cache=config.feature_cache or str(out / "features"),
            resume=True,
        )
        answered = out / f"fold_{fold}.parquet"
        if not answered.exists():
            train(one)
            if PartialState().is_main_process:
                predicted = predict_fold(one)
                with refuse_failed_writes(answered):
                    predicted.to_parquet(answered.with_suffix(".new"))
                    answered.with_suffix(".new").replace(answered)
            PartialState().wait_for_everyone()
        tables.append(pd.read_parquet(answered))
    table = pd.concat(tables, ignore_index=True)
    figures = figures_of(table) | _origin(config, splits, arguments)
    if PartialState().is_main_process:
        with refuse_failed_writes(out):
            table.to_parquet(out / PREDICTIONS_FILE)
            text = json.dumps(figures, indent=1, allow_nan=False)
            (out / FIGURES_FILE).write_text(text + "\n", encoding="utf-8")
    return f"{len(folds)} folds in {out}: " + "; ".join(
        f"{'with text' if name == 'corpus' else 'without'} WA {pooled['wa']:.3f}, "
        f"UA {pooled['ua']:.3f}"
        for name, pooled in figures["pooled"].items()
    )


def predict_fold(config: TrainConfig) -> pd.DataFrame:
    """Predict the test part of a fold with the pipeline of its checkpoint.

    Returns:
        the columns of :func:`~speech_emotion.evaluation.scoring.prediction_table`, ``fold``,
        ``corpus``, ``text`` (one of :data:`TEXTS`), and ``logit_<emotion>``: the logits before the
        temperature, up to a constant per clip.
    """
    tested = load_splits(config)["test"]
    classes = tuple(tested.features["label"].names)
    model = open_model(config.output_dir, meanings=list)
    classifier = load_classifier(
        model, text="none", classes=classes, batch_size=config.per_device_eval_batch_size
    )
    assert isinstance(classifier, PipelineClassifier)
    classifier.pipe.model.config.temperature = FLAT
    clips = ClipSet(clips=tested, cleaned=True)
    tables = []
    for text in TEXTS if classifier.pipe.model.config.use_text else ("none",):
        found = predict_clips(
            classifier, clips, text=text, batch_size=config.per_device_eval_batch_size
        )
        table = prediction_table(clips, found["fused"], classes=classes)
        table.insert(0, "fold", config.fold)
        table["corpus"], table["text"] = tested["corpus"][:], text
        logits = FLAT * log_probabilities(table, classes=classes)
        shown = softmax(logits / model.temperature, axis=1)
        table[columns_of(classes)] = Labels(classes, None).scores(shown)
        table[logit_columns(classes)] = logits
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def figures_of(table: pd.DataFrame) -> dict[str, Any]:
    """Score the predictions of all folds.

    Args:
        table: see :func:`predict_fold`; all folds together.

    Returns:
        for each text mode: WA and UA of each fold, their mean, the pooled scores with
        their intervals over speakers, and the temperature fitted to the pooled logits.
    """
    classes = classes_of(table.columns)
    found: dict[str, Any] = {"folds": {}, "mean": {}, "pooled": {}, "temperature": {}}
    for text, part in table.groupby("text"):
        by_fold = fold_scores(part, classes=classes)
        found["folds"][text], found["mean"][text] = by_fold["folds"], by_fold["mean"]
        found["pooled"][text] = score(part, classes=classes)
        known = answered_of(part)
        found["temperature"][text] = fit_temperature(
            ids_of(known, classes=classes)[0], known[logit_columns(classes)].to_numpy()
        )
    return found


def _check_out(config: TrainConfig, out: Path) -> None:
    """Refuse a folder with other content, or with folds trained with other settings."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--output_dir {out}: a file, not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "settings.json").exists():
        raise ConfigError(f"--output_dir {out}: holds something else than folds; name a new folder")
    if PartialState().is_main_process:
        check_settings(out, _settings(config), resume=True)
    PartialState().wait_for_everyone()


def _settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide the figures, without the paths of this machine."""
    names = {"data", "model", "init_from"}
    settings = {
        name: value
        for name, value in config.to_dict().items()
        if name in names or name not in DECIDES_NOTHING
    }
    settings["model"] = {
        name: portable(value) if isinstance(value, str) else value
        for name, value in config.model.items()
    }
    for name in ("data", "init_from"):
        settings[name] = settings[name] and portable(settings[name])
    return settings


def _origin(
    config: TrainConfig, splits: dict[str, Dataset], arguments: list[str] | None
) -> dict[str, Any]:
    """The provenance of the figures."""
    rows = {name: part for name, part in splits.items() if len(part)}
    given = sys.argv[1:] if arguments is None else arguments
    return {
        "settings": _settings(config),
        "command": command_line([portable(argument) for argument in given], program="train.py"),
        "seed": config.seed,
        **git_state(),
        "versions": versions(PACKAGES),
        "data": {
            "name": portable(config.data),
            "protocol": config.protocol,
            "fingerprints": {
                name: speakers_and_fingerprint(part)[1] for name, part in rows.items()
            },
        },
    }

"""Cross-validation: one run after the other, each tested on a fold that it has not heard.

The folder holds a checkpoint for every fold, the answers to all test clips in
``predictions.parquet``, and the figures in ``cross_validation.json``. A fold that is finished is
not trained again.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accelerate import PartialState
from datasets import Dataset

from corpus_builder.provenance import versions
from hub_model.calibration import fit_temperature
from hub_model.labels import EMOTIONS
from speech_emotion.evaluation.classifiers import answers
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.evaluation.provenance import command_line, git_state, portable
from speech_emotion.evaluation.scoring import PROBABILITIES, prediction_table, score
from speech_emotion.metrics import NO_ANSWER, ua, wa
from speech_emotion.predict.stock_checkpoints import load_classifier
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import load_splits, open_splits, speakers_and_fingerprint
from speech_emotion.training.folds import Selection
from speech_emotion.training.provenance import DECIDES_NOTHING, PACKAGES
from speech_emotion.training.saving import check_settings, refuse_failed_writes

FIGURES_FILE = "cross_validation.json"
PREDICTIONS_FILE = "predictions.parquet"
LOGITS = [f"logit_{emotion}" for emotion in EMOTIONS]

TEXTS = ("corpus", "none")
"""A clip is answered with its own transcript, and once more without any text."""


def cross_validate(
    config: TrainConfig,
    train: Callable[[TrainConfig], list[dict[str, Any]]],
    arguments: list[str] | None,
) -> str:
    """Train and test every fold that ``config.folds`` names, and score all answers together.

    Args:
        config: settings of every run; ``out`` gets a folder for each fold.
        train: trains one of them.
        arguments: the command line, for the record.

    Returns:
        one line on the pooled figures.

    Raises:
        ConfigError, TrainingFailed, AudioError: as the training of one fold.
    """
    out = Path(config.out)
    if config.push_to_hub:
        raise ConfigError("push_to_hub is for one model, not for folds")
    splits = open_splits(config.data, config.protocol, EMOTIONS)
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
            out=str(out / f"fold_{fold}"),
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
    """Answer the test part of a fold through the pipeline of the checkpoint that is its own.

    Returns:
        the columns of :func:`~speech_emotion.evaluation.scoring.prediction_table`, ``fold``, ``corpus``, ``text``
        (one of :data:`TEXTS`), and ``logit_<emotion>``: what the probabilities are made of, up to a
        constant a clip, before the temperature.
    """
    tested = load_splits(config, EMOTIONS)["test"]
    classifier = load_classifier(config.out, transcriber="none")
    model_config = classifier.model.config
    # A stock classifier has the temperature in its weights, and says so in its record.
    temperature = model_config.training.get("temperature", model_config.temperature)
    clips = ClipSet(clips=tested, cleaned=True)
    tables = []
    for text in TEXTS if model_config.use_text else ("none",):
        found = answers(classifier, clips, text=text, batch_size=config.eval_batch_size)
        table = prediction_table(clips, found)
        table.insert(0, "fold", config.fold)
        table["corpus"], table["text"] = tested["corpus"][:], text
        smallest = np.finfo(np.float64).tiny
        table[LOGITS] = temperature * np.log(table[PROBABILITIES].clip(lower=smallest))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def figures_of(table: pd.DataFrame) -> dict[str, Any]:
    """Score the answers to all folds.

    Args:
        table: what :func:`predict_fold` returns, of every fold.

    Returns:
        for each way of giving text: WA and UA of each fold, their mean, the pooled scores with
        their intervals over speakers, and the temperature that fits the pooled logits.
    """
    found: dict[str, Any] = {"folds": {}, "mean": {}, "pooled": {}, "temperature": {}}
    for text, answered in table.groupby("text"):
        folds = {str(fold): _scores_of_fold(part) for fold, part in answered.groupby("fold")}
        found["folds"][text] = folds
        found["mean"][text] = {
            name: float(np.mean([fold[name] for fold in folds.values()])) for name in ("wa", "ua")
        }
        found["pooled"][text] = score(answered)
        known = answered[answered["predicted"].notna()]
        labels = known["label"].map(EMOTIONS.index).to_numpy()
        found["temperature"][text] = fit_temperature(labels, known[LOGITS].to_numpy())
    return found


def _scores_of_fold(table: pd.DataFrame) -> dict[str, Any]:
    truth = table["label"].map(EMOTIONS.index).to_numpy()
    predicted = table["predicted"].map(EMOTIONS.index, na_action="ignore").fillna(NO_ANSWER)
    predicted = predicted.to_numpy(dtype=int)
    return {
        "clips": len(table),
        "speakers": sorted(set(table["speaker_id"])),
        "wa": wa(truth, predicted),
        "ua": ua(truth, predicted),
    }


def _check_out(config: TrainConfig, out: Path) -> None:
    """Refuse a folder of something else, or of folds that were trained with other settings."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: a file, not a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "settings.json").exists():
        raise ConfigError(f"--out {out}: holds something else than folds; name a new folder")
    if PartialState().is_main_process:
        check_settings(out, _settings(config), resume=True)
    PartialState().wait_for_everyone()


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What decides the figures, without the paths of this machine."""
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
    """Where the figures come from."""
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

"""Train a baseline row: ``python train.py --config configs/<row>.yaml --data corpus --out FOLDER``.

The folder holds config.json, the weights, and results.json with the figures on the validation
split; the test split is scored by evaluate_benchmarks.py.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset

from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.baselines import (
    CONFIG_FILE,
    RESULTS_FILE,
    BaselineError,
    classical,
    cnn1d,
    neural,
)
from speech_emotion.baselines import spectrogram_cnn as mobilenet
from speech_emotion.baselines.clips import check_classes, collect
from speech_emotion.baselines.feature_store import stored_features
from speech_emotion.baselines.settings import (
    CONFIGS,
    ClassicalConfig,
    Cnn1dConfig,
    MobileNetConfig,
    NeuralConfig,
    RowConfig,
    family_of,
)
from speech_emotion.baselines.spectrograms import cached_levels
from speech_emotion.metrics import ua, wa
from speech_emotion.training.config import ConfigError, parse_settings
from speech_emotion.training.data import load_splits, speakers_and_fingerprint
from speech_emotion.training.provenance import training_record
from speech_emotion.training.saving import (
    TrainingFailed,
    check_out,
    replaced_folder,
    restore_folder,
)

SPLITS = ("train", "validation")


def train_row(config: RowConfig) -> dict[str, Any]:
    """Train what ``config`` describes into ``config.out``.

    Returns:
        the content of its results.json.

    Raises:
        ConfigError: the config and the corpus do not fit together.
        BaselineError: the clips cannot be learnt from, or the classifier refuses its parameters.
        TrainingFailed: the loss is no longer a number, or the disk is full.
    """
    check_out(Path(config.out))
    restore_folder(Path(config.out))
    splits = load_splits(config, EMOTIONS)
    train = {
        ClassicalConfig: train_classical,
        MobileNetConfig: train_mobilenet,
        Cnn1dConfig: train_cnn1d,
    }[type(config)]
    return train(config, splits)


def train_classical(config: ClassicalConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Fit a classifier on the stored features."""
    started = time.perf_counter()
    clips = {name: stored_features(splits[name], config.cache, what=name) for name in SPLITS}
    train, validation = clips["train"], clips["validation"]
    check_classes(train.labels, allow_missing=config.allow_missing)
    speakers = np.asarray(train.rows["speaker_id"][:])
    row, search = classical.fit(
        np.stack(train.values),
        train.labels,
        speakers,
        classifier=config.classifier,
        params=config.params,
        grid=config.grid,
        folds=config.folds,
        protocol=config.protocol,
        seed=config.seed,
    )
    predicted = row.from_features(np.stack(validation.values)).argmax(axis=1)
    results = {
        "validation": {
            "wa": wa(validation.labels, predicted),
            "ua": ua(validation.labels, predicted),
        },
        "grid_search": search or None,
    }
    results |= _facts(config, clips, started)
    row.config["training"] = _record(config, splits, clips)
    for name in {"sklearn", "skops", type(row.classifier).__module__.split(".")[0]}:
        row.config["training"]["versions"][name] = sys.modules[name].__version__
    _save(config, row.config, results, lambda folder: classical.save(row, folder))
    return results


def train_mobilenet(config: MobileNetConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Fine-tune MobileNetV2 on the images of all blocks."""
    started = time.perf_counter()
    accelerator = neural.prepare(config)
    check_classes(np.asarray(splits["train"]["label"][:]), allow_missing=config.allow_missing)
    rows = dict(splits)
    rows["train"] = mobilenet.drawn(rows["train"], share=config.clips_share, seed=config.seed)
    shifts = {"train": config.block_shift, "validation": config.answer_shift}
    clips, blocks = {}, {}
    with accelerator.main_process_first():
        for name, shift in shifts.items():
            clips[name], made = cached_levels(rows[name], config.cache, shift=shift, what=name)
            blocks[name] = mobilenet.to_blocks(clips[name], made, gender=config.gender)
    model, start = mobilenet.new_model(
        pretrained=config.pretrained,
        model=config.model,
        gender=config.gender,
        dropout=config.dropout,
    )
    if "not_found" in start:
        print(f"train.py: random weights, {start['not_found']} was not found", file=sys.stderr)
    description = mobilenet.description(
        model, start, gender=config.gender, decision_shift=config.answer_shift
    )
    extra = {"initialisation": start, "blocks": {name: len(blocks[name]) for name in SPLITS}}
    description["training"] = _record(config, splits, clips)
    return _train_network(accelerator, config, model, clips, blocks, description, extra, started)


def train_cnn1d(config: Cnn1dConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Train the 1-D CNN on the features of all frames."""
    started = time.perf_counter()
    accelerator = neural.prepare(config)
    frames = cnn1d.num_frames(config.seconds)

    def compute(audio: dict[str, Any]) -> np.ndarray:
        return cnn1d.clip_input(load_audio(audio), frames=frames)

    clips = {name: collect(splits[name], compute, what=f"frames, {name}") for name in SPLITS}
    check_classes(clips["train"].labels, allow_missing=config.allow_missing)
    blocks = {name: cnn1d.to_blocks(clips[name]) for name in SPLITS}
    model = cnn1d.new_model(
        seconds=config.seconds, dense=config.dense, dropout=config.dropout
    )
    cnn1d.standardise(model, blocks["train"].inputs)
    weights = sum(parameter.numel() for parameter in model.parameters())
    description = cnn1d.description(model)
    description["training"] = _record(config, splits, clips)
    return _train_network(
        accelerator,
        config,
        model,
        clips,
        blocks,
        description,
        {"parameters": weights},
        started,
        penalty=lambda network: network.penalty(l1=config.l1, l2=config.l2),
    )


def _train_network(
    accelerator: Any,
    config: NeuralConfig,
    model: Any,
    clips: dict[str, Any],
    blocks: dict[str, neural.Blocks],
    description: dict[str, Any],
    extra: dict[str, Any],
    started: float,
    penalty: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Train, and write the row's folder after every epoch that is the best so far."""

    def results_of(history: neural.History) -> dict[str, Any]:
        best = max(history, key=neural.score)
        return {
            "validation": {name: best[name] for name in ("wa", "ua")},
            "best_epoch": best["epoch"],
            "history": history,
            **extra,
            **_facts(config, clips, started),
        }

    def save(network: Any, history: neural.History) -> None:
        _save(config, description, results_of(history), lambda folder: cnn1d.save(network, folder))

    history = neural.train(
        accelerator,
        config,
        model,
        blocks,
        fingerprint=description["training"]["train_fingerprint"],
        save=save,
        penalty=penalty,
    )
    results = results_of(history)
    if accelerator.is_main_process:
        _write(Path(config.out) / RESULTS_FILE, results)
    return results


def _record(config: RowConfig, splits: dict[str, Dataset], clips: dict[str, Any]) -> dict[str, Any]:
    """What the row was trained on, in the words of the main model's record.

    ``fingerprint`` is that of the whole training split, ``train_fingerprint`` that of the clips
    that were used of it.
    """
    record = training_record(config, {name: clips[name].rows for name in SPLITS})
    record["fingerprint"] = speakers_and_fingerprint(splits["train"])[1]
    for name in ("cache", "allow_missing"):  # they decide nothing
        del record["settings"][name]
    return record


def _facts(config: RowConfig, clips: dict[str, Any], started: float) -> dict[str, Any]:
    return {
        "protocol": config.protocol,
        "seed": config.seed,
        "clips": {name: len(clips[name].values) for name in SPLITS},
        "left_out": {name: clips[name].left_out for name in SPLITS},
        "seconds": round(time.perf_counter() - started, 1),
    }


def _save(
    config: RowConfig,
    description: dict[str, Any],
    results: dict[str, Any],
    save: Callable[[Path], None],
) -> None:
    with replaced_folder(Path(config.out)) as folder:
        folder.mkdir(parents=True)
        save(folder)
        _write(folder / CONFIG_FILE, description)
        _write(folder / RESULTS_FILE, results)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line, for ``train.py``; its exit codes are the same."""
    try:
        family = family_of(arguments)
        if family not in CONFIGS:
            raise ConfigError(f"family must be {', '.join(CONFIGS)}, not {family!r}")
        config = parse_settings(CONFIGS[family], "train.py", __doc__, arguments)
        results = train_row(config)
    except (ConfigError, BaselineError, TrainingFailed) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train.py: stopped; what is whole is kept", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        for name, lines in results["left_out"].items():
            for utterance_id, reason in lines.items():
                print(f"left out of {name}: {utterance_id}: {reason}", file=sys.stderr)
        figures = results["validation"]
        print(f"{config.out}: validation WA {figures['wa']:.3f}, UA {figures['ua']:.3f}")
    return 0

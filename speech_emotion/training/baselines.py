"""Training of the baselines.

The output folder holds config.json, the weights, and results.json with the figures on the
validation split; the test split is scored by evaluate_benchmarks.py.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader

from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.baselines import CONFIG_FILE, RESULTS_FILE, classical, cnn1d
from speech_emotion.baselines import spectrogram_cnn as mobilenet
from speech_emotion.baselines.clips import check_classes, collect
from speech_emotion.baselines.feature_store import stored_features
from speech_emotion.baselines.neural import Blocks, clip_probabilities
from speech_emotion.baselines.spectrograms import cached_levels
from speech_emotion.metrics import ua, wa
from speech_emotion.training.baseline_config import (
    BaselineConfig,
    ClassicalConfig,
    Cnn1dConfig,
    MobileNetConfig,
    NeuralConfig,
)
from speech_emotion.training.data import load_splits, speakers_and_fingerprint
from speech_emotion.training.fit import Figures, History, Task, fit, kept, start
from speech_emotion.training.provenance import training_record
from speech_emotion.training.saving import (
    check_output_dir,
    open_state,
    replaced_folder,
    restore_folder,
)

SPLITS = ("train", "validation")


def train_baseline(config: BaselineConfig) -> dict[str, Any]:
    """Train what ``config`` describes into ``config.output_dir``.

    Returns:
        the content of its results.json.

    Raises:
        ConfigError: the config and the corpus do not fit together.
        BaselineError: the clips cannot be trained on, or the classifier refuses its parameters.
        TrainingFailed: the loss is not a number, or the disk is full.
    """
    check_output_dir(Path(config.output_dir))
    restore_folder(Path(config.output_dir))
    splits = load_splits(config, EMOTIONS)
    train: dict[type, Callable[..., dict[str, Any]]] = {
        ClassicalConfig: train_classical,
        MobileNetConfig: train_mobilenet,
        Cnn1dConfig: train_cnn1d,
    }
    return train[type(config)](config, splits)


def report(config: BaselineConfig, results: dict[str, Any]) -> str:
    """Return one line on a trained baseline, and list on stderr the clips that were left out."""
    if PartialState().is_main_process:
        for name, lines in results["left_out"].items():
            for utterance_id, reason in lines.items():
                print(f"left out of {name}: {utterance_id}: {reason}", file=sys.stderr)
    figures = results["validation"]
    return f"{config.output_dir}: validation WA {figures['wa']:.3f}, UA {figures['ua']:.3f}"


def train_classical(config: ClassicalConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Fit a classifier on the stored features."""
    started = time.perf_counter()
    clips = {name: stored_features(splits[name], config.cache, what=name) for name in SPLITS}
    train, validation = clips["train"], clips["validation"]
    check_classes(train.labels, allow_missing=config.allow_missing)
    speakers = np.asarray(train.rows["speaker_id"][:])
    baseline, search = classical.fit(
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
    predicted = baseline.from_features(np.stack(validation.values)).argmax(axis=1)
    results = {
        "validation": {
            "wa": wa(validation.labels, predicted),
            "ua": ua(validation.labels, predicted),
        },
        "grid_search": search or None,
    }
    results |= _facts(config, clips, started)
    baseline.config["training"] = _record(config, splits, clips)
    for name in {"sklearn", "skops", type(baseline.classifier).__module__.split(".")[0]}:
        baseline.config["training"]["versions"][name] = import_module(name).__version__
    _save(config, baseline.config, results, lambda folder: classical.save(baseline, folder))
    return results


def train_mobilenet(config: MobileNetConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Fine-tune MobileNetV2 on the images of all blocks."""
    started = time.perf_counter()
    accelerator = start(config)
    check_classes(np.asarray(splits["train"]["label"][:]), allow_missing=config.allow_missing)
    rows = dict(splits)
    rows["train"] = mobilenet.drawn(rows["train"], share=config.clips_share, seed=config.seed)
    shifts = {"train": config.block_shift, "validation": config.answer_shift}
    clips, blocks = {}, {}
    with accelerator.main_process_first():
        for name, shift in shifts.items():
            clips[name], made = cached_levels(rows[name], config.cache, shift=shift, what=name)
            blocks[name] = mobilenet.to_blocks(clips[name], made, gender=config.gender)
    model, weights = mobilenet.new_model(
        pretrained=config.pretrained,
        model=config.model,
        gender=config.gender,
        dropout=config.dropout,
    )
    if "not_found" in weights:
        print(f"train.py: random weights, {weights['not_found']} was not found", file=sys.stderr)
    description = mobilenet.description(
        model, weights, gender=config.gender, decision_shift=config.answer_shift
    )
    extra = {"initialisation": weights, "blocks": {name: len(blocks[name]) for name in SPLITS}}
    description["training"] = _record(config, splits, clips)
    task = BaselineTask(
        config,
        model,
        blocks,
        description=description,
        facts=lambda: extra | _facts(config, clips, started),
    )
    return _train_network(accelerator, task)


def train_cnn1d(config: Cnn1dConfig, splits: dict[str, Dataset]) -> dict[str, Any]:
    """Train the 1-D CNN on the features of all frames."""
    started = time.perf_counter()
    accelerator = start(config)
    frames = cnn1d.num_frames(config.seconds)

    def compute(audio: dict[str, Any]) -> np.ndarray:
        return cnn1d.clip_input(load_audio(audio), frames=frames)

    clips = {name: collect(splits[name], compute, what=f"frames, {name}") for name in SPLITS}
    check_classes(clips["train"].labels, allow_missing=config.allow_missing)
    blocks = {name: cnn1d.to_blocks(clips[name]) for name in SPLITS}
    model = cnn1d.new_model(seconds=config.seconds, dense=config.dense, dropout=config.dropout)
    cnn1d.standardise(model, blocks["train"].inputs)
    extra = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    description = cnn1d.description(model)
    description["training"] = _record(config, splits, clips)
    task = BaselineTask(
        config,
        model,
        blocks,
        description=description,
        facts=lambda: extra | _facts(config, clips, started),
    )
    return _train_network(accelerator, task)


class BaselineTask(Task):
    """Cross-entropy on blocks with Adam; a clip is classified by the mean over its blocks.

    Args:
        config: settings of the run.
        model: takes a batch of inputs and returns logits.
        blocks: ``train`` and ``validation``.
        description: content of config.json.
        facts: returns what results.json has besides the figures.
    """

    config: NeuralConfig

    def __init__(
        self,
        config: NeuralConfig,
        model: nn.Module,
        blocks: dict[str, Blocks],
        *,
        description: dict[str, Any],
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        optimizer = torch.optim.Adam(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        size = config.per_device_train_batch_size
        train = DataLoader(
            blocks["train"],
            batch_size=size,
            shuffle=True,
            # Batch norm cannot be trained on a single input.
            drop_last=len(blocks["train"]) % size == 1,
        )
        validation = DataLoader(blocks["validation"], batch_size=config.per_device_eval_batch_size)
        super().__init__(config, model, optimizer, train, validation)
        self.labels = blocks["validation"].labels
        self.description, self.facts = description, facts
        self.started = 0.0

    def start_epoch(self, accelerator: Accelerator, epoch: int) -> None:
        """Seed the dropouts of an epoch."""
        self.started = time.perf_counter()
        set_seed(self.config.seed + epoch, device_specific=True)
        self.model.train()

    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the mean cross-entropy of a batch of blocks."""
        inputs, targets, _ = batch
        return nn.functional.cross_entropy(self.model(inputs), targets)

    def penalty(self, accelerator: Accelerator) -> torch.Tensor | float:
        """Return the L1 and L2 terms of the 1-D CNN."""
        if not isinstance(self.config, Cnn1dConfig):
            return 0.0
        network: Any = accelerator.unwrap_model(self.model)
        return network.penalty(l1=self.config.l1, l2=self.config.l2)

    @torch.no_grad()
    def evaluate(self, accelerator: Accelerator) -> Figures:
        """Return loss, WA and UA over clips, and the seconds that the epoch took."""
        self.model.eval()
        logits, clips = [], []
        for inputs, _, numbers in self.validation or ():
            gathered = accelerator.gather_for_metrics((self.model(inputs).float(), numbers))
            logits.append(gathered[0].cpu().numpy())
            clips.append(gathered[1].cpu().numpy())
        probabilities = clip_probabilities(np.concatenate(logits), np.concatenate(clips))
        labels = self.labels
        loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
        predicted = probabilities.argmax(axis=1)
        return {
            "validation_loss": float(loss),
            "wa": wa(labels, predicted),
            "ua": ua(labels, predicted),
            "seconds": round(time.perf_counter() - self.started, 1),
        }

    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the baseline's folder."""
        if accelerator.is_main_process:
            network = accelerator.unwrap_model(self.model)
            results = self.results(history)
            _save(self.config, self.description, results, lambda f: cnn1d.save(network, f))

    def results(self, history: History) -> dict[str, Any]:
        """Return the content of results.json."""
        best = kept(history)
        return {
            "validation": {name: best[name] for name in ("wa", "ua")},
            "best_epoch": best["epoch"],
            "history": history,
            **self.facts(),
        }


def _train_network(accelerator: Accelerator, task: BaselineTask) -> dict[str, Any]:
    config, record = task.config, task.description["training"]
    settings = config.to_dict() | {"fingerprint": record["train_fingerprint"]}
    changeable = ("data", "output_dir", "cache", "resume", "num_train_epochs", "patience")
    for name in (*changeable, "report_to"):
        del settings[name]
    open_state(accelerator, config.output_dir, settings, resume=config.resume)
    results = task.results(fit(accelerator, task))
    if accelerator.is_main_process:
        _write(Path(config.output_dir) / RESULTS_FILE, results)
    return results


def _record(
    config: BaselineConfig, splits: dict[str, Dataset], clips: dict[str, Any]
) -> dict[str, Any]:
    """The training record of a baseline, with the keys of the main model's.

    ``fingerprint`` is that of the whole training split, ``train_fingerprint`` that of the clips
    that were used of it.
    """
    record = training_record(config, {name: clips[name].rows for name in SPLITS})
    record["fingerprint"] = speakers_and_fingerprint(splits["train"])[1]
    for name in ("cache", "allow_missing"):  # they change nothing
        del record["settings"][name]
    return record


def _facts(config: BaselineConfig, clips: dict[str, Any], started: float) -> dict[str, Any]:
    return {
        "protocol": config.protocol,
        "seed": config.seed,
        "clips": {name: len(clips[name].values) for name in SPLITS},
        "left_out": {name: clips[name].left_out for name in SPLITS},
        "seconds": round(time.perf_counter() - started, 1),
    }


def _save(
    config: BaselineConfig,
    description: dict[str, Any],
    results: dict[str, Any],
    save: Callable[[Path], None],
) -> None:
    with replaced_folder(Path(config.output_dir)) as folder:
        folder.mkdir(parents=True)
        save(folder)
        _write(folder / CONFIG_FILE, description)
        _write(folder / RESULTS_FILE, results)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

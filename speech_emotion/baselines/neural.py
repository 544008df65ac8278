"""Training of the neural rows with Accelerate, as the main model is trained (train.py).

Inputs are blocks: one or several a clip, each with a class. A clip's answer is the mean of the
probabilities of its blocks.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from hub_model.labels import EMOTIONS
from speech_emotion.baselines.settings import NeuralConfig
from speech_emotion.metrics import ua, wa
from speech_emotion.training.build import get_accelerator
from speech_emotion.training.saving import (
    TrainingFailed,
    check_settings,
    clear_states,
    load_state,
    save_state,
)

History = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Blocks(Dataset):
    """Inputs of a network, clip after clip.

    Attributes:
        inputs: (num_blocks, ...), one row an input; may lie on disk.
        targets: int (num_blocks,), class of each block.
        clips: int (num_blocks,), number of the clip of each block.
        labels: int (num_clips,), emotion id of each clip.
    """

    inputs: np.ndarray
    targets: np.ndarray
    clips: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, int]:
        return np.array(self.inputs[index]), int(self.targets[index]), int(self.clips[index])


def clip_probabilities(logits: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Answer of each clip from the logits of its blocks.

    Args:
        logits: float (num_blocks, 7 x n): n classes an emotion, such as one a gender, those of an
            emotion side by side.
        clips: int (num_blocks,), number of the clip of each block, 0 to num_clips - 1.

    Returns:
        float64 (num_clips, 7): the mean over blocks of the probabilities, those of an emotion's
        classes summed.
    """
    logits = logits.astype(np.float64)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    folded = chances.reshape(len(chances), len(EMOTIONS), -1).sum(axis=2)
    sums = np.zeros((clips.max() + 1, len(EMOTIONS)))
    np.add.at(sums, clips, folded)
    return sums / np.bincount(clips)[:, None]


@torch.no_grad()
def logits_of(model: torch.nn.Module, inputs: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
    """Logits of inputs, in evaluation mode: float32 (num_inputs, classes)."""
    model.eval()
    found = [
        model(torch.from_numpy(inputs[start : start + batch_size])).numpy()
        for start in range(0, len(inputs), batch_size)
    ]
    return np.concatenate(found)


def prepare(config: NeuralConfig) -> Accelerator:
    """Start Accelerate and set the seed; before anything random."""
    accelerator = get_accelerator(
        config.mixed_precision,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
    )
    set_seed(config.seed)
    return accelerator


def train(
    accelerator: Accelerator,
    config: NeuralConfig,
    model: torch.nn.Module,
    splits: dict[str, Blocks],
    *,
    fingerprint: str,
    save: Callable[[torch.nn.Module, History], None],
    penalty: Callable[[torch.nn.Module], torch.Tensor] | None = None,
) -> History:
    """Train by cross-entropy with Adam, and keep the epoch with the best UA + WA on validation.

    Args:
        accelerator: what :func:`prepare` returned.
        config: the row's settings.
        model: takes a batch of inputs and returns logits.
        splits: ``train`` and ``validation``.
        fingerprint: of the training clips; a resumed run must have the same.
        save: called in the main process with the model after each epoch that is the best so far.
        penalty: added to the loss.

    Returns:
        one dict of figures an epoch.

    Raises:
        ConfigError: the state to resume from was made with other settings.
        TrainingFailed: the loss is no longer a number, or the disk is full.
    """
    state = Path(f"{Path(config.out)}.state")
    if accelerator.is_main_process:
        settings = config.to_dict() | {"fingerprint": fingerprint}
        for name in ("data", "out", "cache", "resume", "epochs", "patience"):
            del settings[name]
        check_settings(state, settings, resume=config.resume)
        if not config.resume:
            clear_states(state)
    accelerator.wait_for_everyone()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    loaders = [
        DataLoader(splits[name], batch_size=config.batch_size, shuffle=name == "train")
        for name in ("train", "validation")
    ]
    model, optimizer, train_loader, validation_loader = accelerator.prepare(
        model, optimizer, *loaders
    )
    history = load_state(accelerator, state) if config.resume else []
    for epoch in range(len(history), config.epochs):
        if _stale(history, config.patience):
            break
        started = time.perf_counter()
        train_loader.set_epoch(epoch)
        # Each epoch draws its dropouts from a seed of its own, so a resumed run finds them again.
        set_seed(config.seed + epoch, device_specific=True)
        loss = _epoch(accelerator, model, train_loader, optimizer, penalty, f"epoch {epoch + 1}")
        figures = {"epoch": epoch + 1, "train_loss": loss}
        figures |= _evaluate(accelerator, model, validation_loader, splits["validation"].labels)
        figures["seconds"] = round(time.perf_counter() - started, 1)
        best = not history or score(figures) > max(map(score, history))
        history.append(figures)
        if best and accelerator.is_main_process:
            save(accelerator.unwrap_model(model), history)
        save_state(accelerator, state / f"epoch_{epoch + 1}", history)
        if accelerator.is_main_process:
            clear_states(state, keep=2)
            tqdm.write(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return history


def score(figures: dict[str, Any]) -> float:
    """UA + WA, by which the best epoch is chosen."""
    return figures["ua"] + figures["wa"]


def _stale(history: History, patience: int) -> bool:
    scores = [score(figures) for figures in history]
    return bool(patience and scores) and len(scores) - 1 - int(np.argmax(scores)) >= patience


def _epoch(
    accelerator: Accelerator,
    model: torch.nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    penalty: Callable[[torch.nn.Module], torch.Tensor] | None,
    name: str,
) -> float:
    model.train()
    losses = []
    hidden = not accelerator.is_main_process or None
    for inputs, targets, _ in tqdm(loader, desc=name, unit="batch", disable=hidden):
        if len(targets) < 2:
            continue  # batch norm cannot learn from a single input
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        if not torch.isfinite(loss):
            raise TrainingFailed(f"{name}: the loss is {loss.item()}")
        losses.append(loss.detach())
        if penalty is not None:
            loss = loss + penalty(accelerator.unwrap_model(model))
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
    if not losses:
        raise TrainingFailed("one training input is too few")
    return accelerator.gather(torch.stack(losses)).mean().item()


@torch.no_grad()
def _evaluate(
    accelerator: Accelerator, model: torch.nn.Module, loader: DataLoader, labels: np.ndarray
) -> dict[str, float]:
    model.eval()
    logits, clips = [], []
    for inputs, _, numbers in loader:
        gathered = accelerator.gather_for_metrics((model(inputs).float(), numbers))
        logits.append(gathered[0].cpu().numpy())
        clips.append(gathered[1].cpu().numpy())
    probabilities = clip_probabilities(np.concatenate(logits), np.concatenate(clips))
    loss = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()
    predicted = probabilities.argmax(axis=1)
    return {
        "validation_loss": float(loss),
        "wa": wa(labels, predicted),
        "ua": ua(labels, predicted),
    }

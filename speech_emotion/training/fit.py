"""The training loop of every model of this project.

:func:`fit` trains a :class:`Task`, which says what is particular to a model: its loss, its
validation and how it is saved. Batches, precision, seeds, schedule, clipping, states, resuming,
early stopping and trackers are the same for all.
"""

import json
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import (
    Accelerator,
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    PartialState,
)
from accelerate.utils import ProjectConfiguration, set_seed
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_scheduler

from speech_emotion.predict.speed import has_bf16
from speech_emotion.training.config import EpochConfig, FitConfig
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.saving import (
    TrainingFailed,
    check_output_dir,
    load_state,
    save_state,
    state_folder,
)

Figures = dict[str, Any]
History = list[Figures]
"""One dict of figures an epoch, or whatever lies between two saved states."""


class Task(ABC):
    """A model, its batches, and what :func:`fit` does with them.

    Args:
        config: settings of the run.
        model: what is trained.
        optimizer: of its weights.
        train: training batches.
        validation: validation batches; without them the last epoch is kept.
    """

    unit = "epoch"
    """Key of the figures that counts the entries of a history."""

    config: FitConfig

    def __init__(
        self,
        config: FitConfig,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        train: Any,
        validation: DataLoader | None = None,
    ) -> None:
        self.config, self.model, self.optimizer = config, model, optimizer
        self.train, self.validation = train, validation
        self.seed: int | None = config.seed
        """Seed of what each process draws while it trains; None goes on with its generators."""

    def prepare(self, accelerator: Accelerator) -> None:
        """Let Accelerate wrap model, optimiser and loaders."""
        loaders = [part for part in (self.train, self.validation) if isinstance(part, DataLoader)]
        self.model, self.optimizer, *loaders = accelerator.prepare(
            self.model, self.optimizer, *loaders
        )
        if isinstance(self.train, DataLoader):
            self.train = loaders.pop(0)
        if loaders:
            (self.validation,) = loaders

    def total_steps(self) -> int:
        """Number of batches of the whole run."""
        return self._epochs.num_train_epochs * len(self.train)

    def schedule_steps(self) -> int:
        """Number of optimiser steps over which the learning rate changes."""
        accumulation = self._epochs.gradient_accumulation_steps
        return -(-len(self.train) // accumulation) * self._epochs.num_train_epochs

    def steps_done(self, history: History) -> int:
        """Number of batches that were trained on."""
        return len(history) * len(self.train)

    def next_batches(self, history: History) -> Iterable[Any] | None:
        """Return the batches up to the next saved state; ``None`` when the run is finished."""
        if len(history) >= self._epochs.num_train_epochs:
            return None
        # The order of an epoch follows from seed and epoch alone, so a resumed run finds it.
        self.train.set_epoch(len(history))
        return self.train

    def start_epoch(self, accelerator: Accelerator, epoch: int) -> None:
        """Put the model into training mode; the first epoch has the number 0."""
        self.model.train()

    @abstractmethod
    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the loss of a batch."""

    def penalty(self, accelerator: Accelerator) -> torch.Tensor | float:
        """Return what is added to the loss for the gradients and not reported."""
        return 0.0

    def summarize(
        self, losses: list[torch.Tensor], history: History, accelerator: Accelerator
    ) -> Figures:
        """Return the figures of an epoch from the losses of its batches: their mean."""
        mean = accelerator.gather(torch.stack(losses)).mean().item()
        return {"epoch": len(history) + 1, "train_loss": mean}

    def evaluate(self, accelerator: Accelerator) -> Figures:
        """Return the figures on the validation batches; none without them."""
        return {}

    def score(self, figures: Figures) -> float | None:
        """Return what the best epoch is chosen by; ``None`` keeps the last one."""
        return ua_plus_wa(figures)

    @abstractmethod
    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the trained model; called in every process, after each epoch that is kept.

        Raises:
            TrainingFailed: it cannot be written; what was there before is as it was.
        """

    @property
    def _epochs(self) -> EpochConfig:
        assert isinstance(self.config, EpochConfig)
        return self.config


def ua_plus_wa(figures: Figures) -> float | None:
    """Return the score by which the best epoch is chosen; ``None`` without validation."""
    return figures["ua"] + figures["wa"] if "ua" in figures else None


def kept(history: History, score: Callable[[Figures], float | None] = ua_plus_wa) -> Figures:
    """Return the epoch whose weights are kept: the best, the first of equals, or the last."""
    if score(history[-1]) is None:
        return history[-1]
    return max(history, key=lambda figures: score(figures) or 0.0)


def start(config: FitConfig) -> Accelerator:
    """Start Accelerate and set the seed; before anything random.

    Raises:
        ConfigError: the output folder holds other files, or this machine does not have the
            precision that is asked for.
    """
    check_output_dir(Path(config.output_dir))
    if config.report_to == "tensorboard" and find_spec("tensorboard") is None:
        # Accelerate would train without a tracker and without a message.
        raise ConfigError(
            "report_to tensorboard: TensorBoard is not installed; run "
            'pip install "speech-text-emotion[tracking]"'
        )
    logging.getLogger("accelerate.accelerator").addFilter(_no_news)
    accelerator = Accelerator(
        mixed_precision=_precision(config.mixed_precision),
        gradient_accumulation_steps=getattr(config, "gradient_accumulation_steps", 1),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
        # Layer drop, missing transcripts and the like leave weights without a gradient.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        log_with=None if config.report_to == "none" else config.report_to,
        project_config=ProjectConfiguration(
            project_dir=str(state_folder(config.output_dir)),
            automatic_checkpoint_naming=True,
            total_limit=2,
        ),
    )
    if config.mixed_precision == "fp16" and accelerator.device.type == "cpu":
        # Accelerate would train in float32 without a word.
        raise ConfigError("mixed_precision fp16 needs a GPU; bf16 does not")
    set_seed(config.seed)
    return accelerator


def _precision(asked: str) -> str:
    if asked != "auto":
        return asked
    device = PartialState().device.type
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and has_bf16()
    return "bf16" if fast else "no"


def fit(accelerator: Accelerator, task: Task) -> History:
    """Train a task until its last epoch, or until it gets no better.

    A run that is killed and resumed ends with the history and the weights of one that nothing
    interrupted, bit for bit on the CPU.

    Args:
        accelerator: what :func:`start` returned.
        task: what is trained; its config is that of :func:`start`.

    Returns:
        the figures of every epoch, those of the resumed run included.

    Raises:
        TrainingFailed: a loss is not a number, or the disk is full; says what was saved.
    """
    config = task.config
    task.prepare(accelerator)
    # Not prepared: a prepared scheduler would count one step a process.
    scheduler = get_scheduler(
        config.lr_scheduler_type,
        task.optimizer,
        num_warmup_steps=config.warmup_steps,
        num_training_steps=task.schedule_steps(),
    )
    accelerator.register_for_checkpointing(scheduler)
    accelerator.init_trackers("logs")
    if task.seed is not None:
        # All processes start from the same weights, and then draw cuts and dropouts of their own.
        set_seed(task.seed, device_specific=True)
    history = load_state(accelerator) if config.resume else []
    with tqdm(
        total=task.total_steps(),
        initial=task.steps_done(history),
        disable=not accelerator.is_main_process,
    ) as progress:
        while not _has_stalled(task, history):
            batches = task.next_batches(history)
            if batches is None:
                break
            done = len(history)
            try:
                figures = _train_epoch(accelerator, task, scheduler, batches, history, progress)
                figures |= task.evaluate(accelerator)
                if not math.isfinite(figures.get("validation_loss", 0.0)):
                    raise TrainingFailed("the validation loss is not a number")
                history.append(figures)
                if kept(history, task.score) is figures:
                    task.save(accelerator, history)
                save_state(accelerator, history)
            except TrainingFailed as error:
                where = f"the last good checkpoint is {config.output_dir}"
                raise TrainingFailed(
                    f"{f'epoch {done + 1}: ' if task.unit == 'epoch' else ''}{error}; "
                    f"{where if done else 'no checkpoint is saved'}"
                ) from error
            rate = {"learning_rate": scheduler.get_last_lr()[0]}
            accelerator.log({**figures, **rate}, step=figures[task.unit])
            if accelerator.is_main_process:
                rounded = {key: round(value, 4) for key, value in figures.items()}
                progress.write(json.dumps(rounded))
    accelerator.end_training()
    return history


def _train_epoch(
    accelerator: Accelerator,
    task: Task,
    scheduler: Any,
    batches: Iterable[Any],
    history: History,
    progress: tqdm,
) -> Figures:
    """Train on some batches and return what the task says of their losses."""
    task.start_epoch(accelerator, len(history))
    losses: list[torch.Tensor] = []
    for batch in batches:
        with accelerator.accumulate(task.model):
            loss = task.loss(batch, accelerator)
            if not torch.isfinite(loss):
                step = task.steps_done(history) + len(losses) + 1
                raise TrainingFailed(f"the loss is {loss.item()} in step {step}")
            losses.append(loss.detach())
            accelerator.backward(loss + task.penalty(accelerator))
            if accelerator.sync_gradients and task.config.max_grad_norm:
                accelerator.clip_grad_norm_(task.model.parameters(), task.config.max_grad_norm)
            task.optimizer.step()
            # With fp16 a step whose gradients overflow is skipped; it is no step of the schedule.
            if accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped:
                scheduler.step()
            task.optimizer.zero_grad()
        progress.update()
    if not losses:
        raise TrainingFailed("there is no batch to train on")
    return task.summarize(losses, history, accelerator)


def _has_stalled(task: Task, history: History) -> bool:
    patience = getattr(task.config, "patience", 0)
    return (
        bool(patience and history) and len(history) - kept(history, task.score)["epoch"] >= patience
    )


def _no_news(record: logging.LogRecord) -> bool:
    """Drop Accelerate's warning that it deletes the states that it is told to delete."""
    return "checkpoints to make room" not in record.getMessage()

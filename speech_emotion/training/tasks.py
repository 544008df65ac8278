"""Further heads that are trained beside the emotion (paper, section VI: multi-task learning).

A task is a column of the corpus: texts are labels, numbers are predicted as numbers. A clip without
a value counts for the other tasks only.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset
from torch.nn import functional

from hub_model.tasks import Tasks
from speech_emotion.metrics import ccc, ua
from speech_emotion.training.config import ConfigError, TrainConfig

NO_LABEL = -100
"""Target of a clip without a label."""

Batch = dict[str, Any]
Tensors = Mapping[str, torch.Tensor]


def model_tasks(config: TrainConfig, rows: Dataset | None) -> dict[str, dict[str, Any]]:
    """Return the tasks for the config of the model: labels, or mean and deviation.

    Args:
        config: its ``tasks`` are used.
        rows: training clips.

    Raises:
        ConfigError: a column is missing, has no values, a single one, or is neither text nor
            number.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for name, task in config.tasks.items():
        column = task["column"]
        if rows is None or column not in rows.column_names:
            raise ConfigError(f"tasks: the corpus has no column {column!r}")
        known = [value for value in _values(rows, column) if value is not None]
        if len(set(known)) < 2:
            raise ConfigError(f"tasks: the column {column!r} needs two values, it has {set(known)}")
        if all(isinstance(value, str) for value in known):
            tasks[name] = {"labels": sorted(set(known))}
        elif all(isinstance(value, int | float) for value in known):
            tasks[name] = {"mean": float(np.mean(known)), "std": float(np.std(known))}
        else:
            raise ConfigError(f"tasks: the column {column!r} holds neither texts nor numbers")
    return tasks


class WithTasks(torch.utils.data.Dataset):
    """Clips with the targets of their tasks under ``tasks``, and their weight.

    Args:
        clips: the clips, as whole clips or as vectors.
        rows: of the same clips.
        config: its ``tasks`` and ``corpus_weights`` are used.
        tasks: of the model.
    """

    def __init__(
        self, clips: torch.utils.data.Dataset, rows: Dataset, config: TrainConfig, tasks: Tasks
    ) -> None:
        self.clips, self.number = clips, len(rows)
        self.targets = {
            name: _targets(_values(rows, config.tasks[name]["column"]), task)
            for name, task in tasks.items()
        }
        weights = [config.corpus_weights.get(name, 1.0) for name in rows["corpus"][:]]
        self.targets["weight"] = torch.tensor(weights)

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Any]:
        targets = {name: values[index] for name, values in self.targets.items()}
        return {**self.clips[index], "tasks": targets}


def with_tasks(collate: Callable[[list[Batch]], Batch]) -> Callable[[list[Batch]], Batch]:
    """Return a collator that also stacks the targets of :class:`WithTasks`."""

    def both(clips: list[Batch]) -> Batch:
        targets = [clip["tasks"] for clip in clips]
        stacked = {name: torch.stack([one[name] for one in targets]) for name in targets[0]}
        return {**collate(clips), "tasks": stacked}

    return both


def task_loss(config: TrainConfig, outputs: Tensors, targets: Tensors) -> torch.Tensor:
    """Return what the tasks add to the loss of a batch, by their weights.

    Cross-entropy for labels, the squared error of the standardised value for numbers; the mean over
    all clips of the batch, in which a clip without a value adds nothing.

    Args:
        config: its ``tasks`` are used.
        outputs: of the heads, ``(batch, labels)`` or ``(batch, 1)``.
        targets: ids or standardised values ``(batch,)``, and the ``weight`` of each clip.
    """
    total = targets["weight"].new_zeros(())
    for name, output in outputs.items():
        target = targets[name]
        if target.dtype == torch.long:
            losses = functional.cross_entropy(
                output.float(), target, ignore_index=NO_LABEL, reduction="none"
            )
        else:
            known = ~target.isnan()
            losses = known * (output.float()[:, 0] - target.nan_to_num()) ** 2
        total = total + config.tasks[name]["weight"] * (losses * targets["weight"]).mean()
    return total


def task_figures(outputs: Tensors, targets: Tensors) -> dict[str, float]:
    """Return ``<task>_ua`` of labels and ``<task>_ccc`` of numbers, over the clips with a value."""
    figures = {}
    for name, output in outputs.items():
        target = targets[name].numpy()
        is_label = targets[name].dtype == torch.long
        known = target != NO_LABEL if is_label else ~np.isnan(target)
        found = output.argmax(-1) if is_label else output[:, 0]
        if known.any():
            score = ua if is_label else ccc
            figures[f"{name}_{score.__name__}"] = score(target[known], found.numpy()[known])
    return figures


def _values(rows: Dataset, column: str) -> list[Any]:
    feature, values = rows.features[column], rows[column][:]
    if isinstance(feature, ClassLabel):
        return [None if value is None else feature.int2str(value) for value in values]
    return values


def _targets(values: list[Any], task: Mapping[str, Any]) -> torch.Tensor:
    if "labels" in task:
        ids = {label: index for index, label in enumerate(task["labels"])}
        return torch.tensor([ids.get(value, NO_LABEL) for value in values])
    numbers = [float("nan") if value is None else float(value) for value in values]
    return (torch.tensor(numbers) - task["mean"]) / task["std"]

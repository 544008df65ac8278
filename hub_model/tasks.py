"""Further heads beside the emotion: each a class label or a number (paper, section VI)."""

from numbers import Real
from typing import Any

from torch import nn

from .inputs import Tasks


def check_tasks(tasks: Tasks | None) -> dict[str, dict[str, Any]] | None:
    """Return the tasks of a config; ``None`` for none.

    Raises:
        ValueError: a name that is no identifier, or a task that is neither two or more different
            labels nor mean and deviation of a number.
    """
    for name, task in (tasks or {}).items():
        labels, numbers = task.get("labels"), [task.get("mean"), task.get("std")]
        is_label = isinstance(labels, list | tuple) and len(set(labels)) == len(labels) > 1
        is_number = all(isinstance(number, Real) for number in numbers) and task["std"] > 0
        if not str(name).isidentifier() or is_label == is_number:
            raise ValueError(
                f"tasks: {name!r} must be a name with two or more labels, or with mean and std"
            )
    return {name: dict(task) for name, task in tasks.items()} if tasks else None


def task_heads(tasks: Tasks | None, size: int) -> nn.ModuleDict:
    """Return a linear layer for each task: a logit for each label, or the standardised number."""
    return nn.ModuleDict(
        {
            name: nn.Linear(size, len(task.get("labels", "1")))
            for name, task in (tasks or {}).items()
        }
    )

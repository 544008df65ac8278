"""Further heads beside the emotion: each a class label or a number (paper, section VI)."""

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .inputs import Tasks

if TYPE_CHECKING:
    from torch import nn


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


def task_heads(tasks: Tasks | None, size: int) -> "nn.ModuleDict":
    """Return a linear layer for each task: a logit for each label, or the standardised number."""
    from torch import nn  # an exported model runs without it

    return nn.ModuleDict(
        {
            name: nn.Linear(size, len(task.get("labels", "1")))
            for name, task in (tasks or {}).items()
        }
    )


def task_results(tasks: Tasks, outputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """What a call with ``tasks=True`` returns.

    Args:
        tasks: of the model's config.
        outputs: of each task, ``(num_labels,)`` or ``(1,)``.

    Returns:
        ``{"label", "score", "scores"}`` of a task with labels, ``{"value"}`` of a number.

    >>> task_results({"age": {"mean": 40.0, "std": 10.0}}, {"age": np.array([0.5])})
    {'age': {'value': 45.0}}
    """
    from scipy.special import softmax  # slow to import, and rarely needed

    found: dict[str, dict[str, Any]] = {}
    for name, task in tasks.items():
        if "labels" in task:
            scores = dict(zip(task["labels"], softmax(outputs[name]).tolist(), strict=True))
            label = max(scores, key=lambda key: scores[key])
            found[name] = {"label": label, "score": scores[label], "scores": scores}
        else:
            found[name] = {"value": outputs[name].item() * task["std"] + task["mean"]}
    return found

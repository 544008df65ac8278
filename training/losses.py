"""What the model is asked to answer, and how much each clip weighs."""

import torch
from datasets import Dataset
from torch.nn import functional

from hub_model.configuration_hubert_bert import EMOTIONS
from training.config import ConfigError, TrainConfig


class EmotionLoss:
    """Cross-entropy; the plain one of the paper unless the config asks for more.

    Args:
        config: ``label_smoothing`` and ``class_weights`` are looked at.
        rows: training clips, which the class weights are counted on.
    """

    def __init__(self, config: TrainConfig, rows: Dataset) -> None:
        self.smoothing = config.label_smoothing
        self.weights = None
        if config.class_weights == "balanced":
            counts = torch.bincount(torch.tensor(rows["label"][:]), minlength=len(EMOTIONS))
            # As scikit-learn has it; an emotion without clips has nothing to weigh.
            self.weights = len(rows) / (counts.clamp(min=1) * int((counts > 0).sum()))

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch.

        Args:
            logits: ``(batch, 7)``.
            targets: ids ``(batch,)`` or shares ``(batch, 7)``.
        """
        weights = None if self.weights is None else self.weights.to(logits.device)
        return functional.cross_entropy(
            logits.float(), targets, weight=weights, label_smoothing=self.smoothing
        )


def training_targets(config: TrainConfig, rows: Dataset) -> torch.Tensor:
    """Return what each training clip should be answered with.

    Returns:
        ids ``(clips,)``; with ``soft_labels``, the listeners' votes ``(clips, 7)``. A vote for
        neutral is left out and the rest scaled to a sum of one; a clip without votes keeps its
        label.

    Raises:
        ConfigError: soft labels are asked for and no clip has votes.
    """
    labels = torch.tensor(rows["label"][:])
    if not config.soft_labels:
        return labels
    votes = rows["votes"][:] if "votes" in rows.column_names else []
    if not any(votes):
        raise ConfigError(f"{config.data}: soft_labels needs listeners' votes, there are none")
    targets = functional.one_hot(labels, len(EMOTIONS)).float()
    for row, shares in enumerate(votes):
        counted = torch.tensor(shares[: len(EMOTIONS)] if shares else [0.0])
        if counted.sum() > 0:
            targets[row] = counted / counted.sum()
    return targets

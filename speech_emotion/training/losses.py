"""Targets of the training clips, their weights, and the loss."""

import torch
from datasets import Dataset
from torch.nn import functional

from corpus_builder.labels import VOTE_CLASSES
from speech_emotion.training.config import ConfigError, TrainConfig


class EmotionLoss:
    """Cross-entropy, as in the paper; with label smoothing and class weights if configured.

    Args:
        config: its ``label_smoothing_factor`` and ``class_weights`` are used.
        rows: training clips, for the class weights.
    """

    def __init__(self, config: TrainConfig, rows: Dataset) -> None:
        self.smoothing = config.label_smoothing_factor
        self.weights = None
        if config.class_weights == "balanced":
            counts = torch.bincount(torch.tensor(rows["label"][:]), minlength=num_labels(rows))
            # As in scikit-learn; an emotion without clips has no weight.
            self.weights = len(rows) / (counts.clamp(min=1) * int((counts > 0).sum()))

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a batch.

        Args:
            logits: ``(batch, num_labels)``.
            targets: ids ``(batch,)`` or shares ``(batch, num_labels)``, which sum to the weight of
                the clip.
        """
        weights = None if self.weights is None else self.weights.to(logits.device)
        smoothing = self.smoothing
        if targets.ndim == 2:  # torch would smooth every clip as if it weighed 1
            evenly = targets.sum(-1, keepdim=True) / targets.shape[-1]
            targets, smoothing = torch.lerp(targets, evenly, smoothing), 0.0
        return functional.cross_entropy(
            logits.float(), targets, weight=weights, label_smoothing=smoothing
        )


def training_targets(config: TrainConfig, rows: Dataset) -> torch.Tensor:
    """Return the target of each training clip.

    Returns:
        ids ``(clips,)``; with ``soft_labels``, the listeners' votes ``(clips, num_labels)``. Votes
        for neutral are left out where it is no label, and the rest scaled to a sum of one; a clip
        without votes keeps its label. With ``corpus_weights``, shares ``(clips, num_labels)`` that
        sum to the weight of the clip.

    Raises:
        ConfigError: ``soft_labels`` is set and no clip has votes, or ``corpus_weights`` names a
            corpus without clips.
    """
    targets = _targets(config, rows)
    if not config.corpus_weights:
        return targets
    corpora = rows["corpus"][:]
    for name in config.corpus_weights:
        if name not in corpora:
            raise ConfigError(f"corpus_weights: no training clips of the corpus {name!r}")
    weights = torch.tensor([config.corpus_weights.get(name, 1.0) for name in corpora])
    if targets.ndim == 1:
        targets = functional.one_hot(targets, num_labels(rows)).float()
    return targets * weights[:, None]


def _targets(config: TrainConfig, rows: Dataset) -> torch.Tensor:
    labels = torch.tensor(rows["label"][:])
    if not config.soft_labels:
        return labels
    votes = rows["votes"][:] if "votes" in rows.column_names else []
    if not any(votes):
        raise ConfigError(f"{config.data}: soft_labels needs listeners' votes, there are none")
    names = rows.features["label"].names
    if tuple(names) != VOTE_CLASSES[: len(names)]:
        raise ConfigError(f"{config.data}: soft_labels needs votes for its labels")
    targets = functional.one_hot(labels, len(names)).float()
    for row, shares in enumerate(votes):
        counted = torch.tensor(shares[: len(names)] if shares else [0.0])
        if counted.sum() > 0:
            targets[row] = counted / counted.sum()
    return targets


def num_labels(rows: Dataset) -> int:
    """Return the number of classes of the column ``label``."""
    return rows.features["label"].num_classes

"""Training of the multimodal model, of an audio-only one and of a stock checkpoint."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import concatenate, send_to_device
from datasets import Dataset
from torch.utils.data import DataLoader

from hub_model.calibration import fit_temperature
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.tasks import Tasks
from speech_emotion.metrics import ua, wa
from speech_emotion.training.augment import training_changes
from speech_emotion.training.batching import length_batches
from speech_emotion.training.build import set_training
from speech_emotion.training.checkpoints import save_checkpoint
from speech_emotion.training.config import TrainConfig
from speech_emotion.training.data import Clips, collator
from speech_emotion.training.fit import Figures, History, Task
from speech_emotion.training.frozen import Head, collate_pooled
from speech_emotion.training.losses import EmotionLoss, training_targets
from speech_emotion.training.tasks import WithTasks, task_figures, task_loss, with_tasks
from speech_emotion.training.text_sampler import TextSampler


def get_dataloaders(
    config: TrainConfig,
    parts: dict[str, Dataset],
    processor: Any,
    head: Head | None,
    processes: int,
    tasks: Tasks | None = None,
) -> dict[str, DataLoader]:
    """Return loaders of shuffled training batches and, if there are any, of validation batches."""
    clips: dict[str, Any]
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    if head is not None:
        clips, collate = dict(head.clips), collate_pooled
    else:
        collate = collator(processor)
        clips = {name: Clips(part) for name, part in parts.items()}
        clips["train"] = Clips(
            parts["train"],
            max_seconds=config.max_seconds,
            augment=training_changes(config),
            text_sampler=TextSampler.from_settings(
                config.text_pairs, parts["train"].features["label"].names
            ),
            targets=training_targets(config, parts["train"]),
        )
    if tasks:
        clips = {name: WithTasks(clips[name], parts[name], config, tasks) for name in clips}
        collate = with_tasks(collate)
    if config.batch_seconds and head is None:
        batches = length_batches(config, parts["train"], processes=processes)
        loaders = {"train": DataLoader(clips["train"], batch_sampler=batches, collate_fn=collate)}
    else:
        size = config.per_device_train_batch_size
        loaders = {
            "train": DataLoader(clips["train"], batch_size=size, shuffle=True, collate_fn=collate)
        }
    if "validation" in clips:
        size = config.per_device_eval_batch_size
        loaders["validation"] = DataLoader(clips["validation"], batch_size=size, collate_fn=collate)
    return loaders


class EmotionTask(Task):
    """The paper's training: cross-entropy, AdamW, and the epoch with the best UA + WA.

    Args:
        config: settings of the run.
        model: the whole model, its frozen parts without gradients.
        processor: its processor.
        parts: ``train`` and, if there is one, ``validation``.
        frozen: names of the parts that stay in evaluation mode.
        head: trained on cached vectors in the place of the whole model, where that is possible.
        record: the training record.
        processes: number of processes that share the batches.
    """

    config: TrainConfig

    def __init__(
        self,
        config: TrainConfig,
        model: HubertBertForEmotion,
        processor: Any,
        parts: dict[str, Dataset],
        *,
        frozen: list[str],
        head: Head | None,
        record: dict[str, Any],
        processes: int,
    ) -> None:
        loaders = get_dataloaders(config, parts, processor, head, processes, model.config.tasks)
        trained = model if head is None else head.model
        optimizer = torch.optim.AdamW(
            [weight for weight in trained.parameters() if weight.requires_grad],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        super().__init__(config, trained, optimizer, loaders["train"], loaders.get("validation"))
        self.model_config, self.processor, self.record = model.config, processor, record
        self.head, self.frozen = head, [] if head else frozen
        self.loss_function = EmotionLoss(config, parts["train"])

    def start_epoch(self, accelerator: Accelerator, epoch: int) -> None:
        """Put the model into training mode, but for its frozen parts."""
        set_training(accelerator.unwrap_model(self.model), self.frozen)

    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the mean loss of a batch of clips."""
        labels, targets = batch.pop("labels"), batch.pop("tasks", None)
        output = self.model(**batch)
        loss = self.loss_function(output.logits, labels)
        if targets is not None:
            loss = loss + task_loss(self.config, output.task_outputs, targets)
        return loss

    @torch.no_grad()
    def evaluate(self, accelerator: Accelerator) -> Figures:
        """Return the figures on the whole validation clips.

        They are the loss, WA and UA of the emotion, the best temperature, and a score of each task.
        """
        if self.validation is None:
            return {}
        self.model.eval()
        found = []
        for batch in self.validation:
            labels, targets = batch.pop("labels"), batch.pop("tasks", {})
            output = self.model(**batch)
            outputs = output.task_outputs or {}
            parts = (labels, output.logits.float(), outputs, targets)
            found.append(send_to_device(accelerator.gather_for_metrics(parts), "cpu"))
        labels, logits, outputs, targets = concatenate(found)
        truth, predicted = labels.numpy(), logits.argmax(-1).numpy()
        return {
            "validation_loss": float(torch.nn.functional.cross_entropy(logits, labels)),
            "wa": wa(truth, predicted),
            "ua": ua(truth, predicted),
            "temperature": fit_temperature(truth, logits.numpy()),
            **task_figures(outputs, targets),
        }

    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the checkpoint with the temperature of its epoch."""
        head = self.head
        weights = head.weights() if head else accelerator.get_state_dict(self.model)
        if accelerator.is_main_process:
            if head and not self.config.stock_checkpoint:
                self.model_config.class_mean_logits = head.class_mean_logits()
            save_checkpoint(
                weights,
                self.model_config,
                self.processor,
                self.config,
                temperature=self.config.temperature or history[-1].get("temperature", 1.0),
                record=self.record,
            )

"""Teach the text encoder which emotion a sentence carries.

    python -m recipes.mini.text_stage --config recipes/mini/text.yaml --out runs/mini_text

A small BERT with its own WordPiece vocabulary learns GoEmotions folded to seven. Emotions weigh
the same whatever their number of comments, and a neutral comment asks for equal probabilities.
The folder written holds the encoder and its tokenizer, for ``text_config`` of a later run.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler
from tqdm.auto import tqdm
from transformers import BertConfig, BertModel, get_linear_schedule_with_warmup

from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import masked_mean
from speech_emotion.metrics import macro_f1, ua
from speech_emotion.training.build import train_wordpiece
from speech_emotion.training.config import ConfigError, parse_settings
from speech_emotion.training.goemotions import Comments, read_comments
from speech_emotion.training.provenance import stage_record, write_stage
from speech_emotion.training.saving import TrainingFailed, check_out, replaced_folder


@dataclass(kw_only=True)
class TextConfig:
    """Everything that decides the text stage.

    Args:
        data: folder of GoEmotions.
        out: folder for the encoder and its tokenizer.
        model: arguments of ``BertConfig``.
        vocab_size: size of the WordPiece vocabulary.
        max_tokens: longer comments are cut.
        neutral_share: share of neutral comments among those that are drawn.
        epochs: passes over as many comments as the train file holds.
        batch_size, learning_rate, weight_decay, warmup_steps, seed: as in training.
    """

    data: str = ""
    out: str = ""
    model: dict[str, Any] = field(default_factory=dict)
    vocab_size: int = 8000
    max_tokens: int = 48
    neutral_share: float = 0.2
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warmup_steps: int = 200
    seed: int = 0


class TextClassifier(nn.Module):
    """BERT, the mean over real tokens, dropout and one linear layer, as in the whole model."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(encoder.config.hidden_size, len(EMOTIONS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """``(batch, tokens)`` to logits ``(batch, 7)``."""
        hidden_states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        return self.head(self.dropout(masked_mean(hidden_states, attention_mask)))


def soft_targets(labels: list[int | None]) -> torch.Tensor:
    """One-hot rows, and equal probabilities for neutral comments: ``(comments, 7)``."""
    equal = torch.full((len(EMOTIONS),), 1 / len(EMOTIONS))
    one_hot = torch.eye(len(EMOTIONS))
    return torch.stack([equal if label is None else one_hot[label] for label in labels])


def draw_weights(labels: list[int | None], neutral_share: float) -> torch.Tensor:
    """Chance of each comment to be drawn: the emotions share what neutral leaves, equally."""
    counts = {label: labels.count(label) for label in set(labels)}
    emotions = len(counts) - (None in counts)
    chance = {
        label: (neutral_share if label is None else (1 - neutral_share) / emotions) / count
        for label, count in counts.items()
    }
    return torch.tensor([chance[label] for label in labels], dtype=torch.double)


@torch.no_grad()
def evaluate(model: TextClassifier, comments: Comments, tokenizer: Any, config: TextConfig) -> dict:
    """Return macro-F1 and UA over the comments that carry an emotion."""
    model.eval()
    carrying = [i for i, label in enumerate(comments.labels) if label is not None]
    predicted = []
    for start in range(0, len(carrying), 256):
        texts = [comments.texts[i] for i in carrying[start : start + 256]]
        tokens = tokenizer(
            texts, padding=True, truncation=True, max_length=config.max_tokens, return_tensors="pt"
        )
        logits = model(tokens["input_ids"], tokens["attention_mask"])
        predicted.append(logits.argmax(-1).numpy())
    truth = np.array([comments.labels[i] for i in carrying])
    predicted = np.concatenate(predicted)
    figures = {"macro_f1": macro_f1(truth, predicted), "ua": ua(truth, predicted)}
    return {**figures, "comments": len(carrying)}


def train_text(config: TextConfig) -> dict[str, Any]:
    """Train, keep the best epoch by macro-F1 on ``dev``, and return its figures on ``test``.

    Raises:
        ConfigError: GoEmotions is not there, or a setting is refused.
        TrainingFailed: the loss is no longer a number, or the disk is full.
    """
    out = Path(config.out)
    check_out(out)
    set_seed(config.seed)
    train, dev, test = (read_comments(config.data, name) for name in ("train", "dev", "test"))
    tokenizer = train_wordpiece(train.texts, config.vocab_size)
    try:
        encoder = BertModel(
            BertConfig(vocab_size=len(tokenizer), **config.model), add_pooling_layer=False
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the encoder cannot be built: {str(error).splitlines()[0]}") from error
    tokenizer.model_max_length = encoder.config.max_position_embeddings

    accelerator = Accelerator(cpu=True)
    model = TextClassifier(encoder)
    targets = soft_targets(train.labels)

    def collate(indices: list[int]) -> dict[str, torch.Tensor]:
        tokens = tokenizer(
            [train.texts[i] for i in indices],
            padding=True,
            truncation=True,
            max_length=config.max_tokens,
            return_tensors="pt",
        )
        return {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "targets": targets[indices],
        }

    sampler = WeightedRandomSampler(
        draw_weights(train.labels, config.neutral_share), len(train.texts)
    )
    loader = DataLoader(
        range(len(train.texts)), config.batch_size, sampler=sampler, collate_fn=collate
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    scheduler = get_linear_schedule_with_warmup(
        optimizer, config.warmup_steps, len(loader) * config.epochs
    )
    best = {"macro_f1": -1.0}
    for epoch in range(config.epochs):
        model.train()
        for batch in tqdm(loader, desc=f"epoch {epoch + 1}"):
            batch_targets = batch.pop("targets")
            loss = nn.functional.cross_entropy(model(**batch), batch_targets)
            if not torch.isfinite(loss):
                raise TrainingFailed(f"the loss is {loss.item()} in epoch {epoch + 1}")
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        figures = evaluate(model, dev, tokenizer, config)
        tqdm.write(f"epoch {epoch + 1}: dev macro-F1 {figures['macro_f1']:.3f}")
        if figures["macro_f1"] > best["macro_f1"]:
            best = {"epoch": epoch + 1, **figures, "test": evaluate(model, test, tokenizer, config)}
            with replaced_folder(out) as folder:
                accelerator.unwrap_model(model).encoder.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
                write_stage(folder, stage_record("text", ["goemotions"], config, **best))
    return best


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 2 with one line on standard error when it cannot be done."""
    try:
        config = parse_settings(TextConfig, "recipes.mini.text_stage", __doc__, arguments)
        best = train_text(config)
    except (ConfigError, TrainingFailed) as error:
        print(f"recipes.mini.text_stage: {error}", file=sys.stderr)
        return 2
    print(f"epoch {best['epoch']}: test macro-F1 {best['test']['macro_f1']:.3f}, in {config.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

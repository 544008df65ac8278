"""Train the text encoder to classify the emotion of a sentence.

    python -m recipes.mini.text_stage --config recipes/mini/text.yaml --output-dir runs/mini_text

A small BERT with its own WordPiece vocabulary is trained on GoEmotions folded to seven emotions.
Emotions have the same weight whatever their number of comments, and the target of a neutral
comment is equal probabilities. The folder written holds the encoder and its tokenizer, for
``text_config`` of a later run.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from torch import nn
from torch.utils.data import DataLoader, WeightedRandomSampler
from transformers import BertConfig, BertModel

from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import masked_mean
from speech_emotion.metrics import macro_f1, ua
from speech_emotion.training.build import train_wordpiece
from speech_emotion.training.config import EpochConfig
from speech_emotion.training.fit import Figures, History, Task, fit, start
from speech_emotion.training.goemotions import Comments, read_comments
from speech_emotion.training.parsing import ConfigError, option, parse_config
from speech_emotion.training.provenance import read_stages, stage_record, write_stage
from speech_emotion.training.saving import TrainingFailed, open_state, replaced_folder


@dataclass(kw_only=True)
class TextConfig(EpochConfig):
    """Settings of the text stage."""

    data: str = option(
        "google-research-datasets/go_emotions", "GoEmotions: a folder, or its id on the Hub"
    )
    output_dir: str = option("", "folder of the encoder and its tokenizer")
    model: dict[str, Any] = option({}, "arguments of BertConfig")
    vocab_size: int = option(8000, "size of the WordPiece vocabulary")
    max_tokens: int = option(48, "longer comments are cut to so many tokens")
    neutral_share: float = option(0.2, "share of neutral comments among those that are drawn")
    num_train_epochs: int = option(4, "epochs; each draws as many comments as there are")
    per_device_train_batch_size: int = option(64, "comments in a batch of each process")
    per_device_eval_batch_size: int = option(256, "validation comments in a batch")
    gradient_accumulation_steps: int = option(1, "batches of one optimiser step")
    learning_rate: float = option(5e-4, "highest learning rate")
    warmup_steps: int = option(200, "optimiser steps in which the learning rate rises from zero")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_share("neutral_share")


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
    """Probability of each comment: emotions equally share what neutral comments leave."""
    counts = {label: labels.count(label) for label in set(labels)}
    emotions = len(counts) - (None in counts)
    chance = {
        label: (neutral_share if label is None else (1 - neutral_share) / emotions) / count
        for label, count in counts.items()
    }
    return torch.tensor([chance[label] for label in labels], dtype=torch.double)


class TextTask(Task):
    """Cross-entropy with soft targets; the epoch with the best macro-F1 on ``dev`` is kept.

    Args:
        config: settings of the run.
        model: the classifier.
        tokenizer: of the encoder.
        comments: ``train``, ``dev`` and ``test``.
    """

    config: TextConfig

    def __init__(
        self,
        config: TextConfig,
        model: TextClassifier,
        tokenizer: Any,
        comments: dict[str, Comments],
    ) -> None:
        self.tokenizer, self.comments = tokenizer, comments
        self.max_tokens = config.max_tokens
        train = comments["train"]
        self.targets = soft_targets(train.labels)
        weights = draw_weights(train.labels, config.neutral_share)
        sampler = WeightedRandomSampler(weights.tolist(), len(train.texts))
        loader: DataLoader = DataLoader(
            range(len(train.texts)),  # type: ignore[arg-type]
            config.per_device_train_batch_size,
            sampler=sampler,
            collate_fn=self.collate,
        )
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        super().__init__(config, model, optimizer, loader)
        self.seed = None  # the vocabulary and the weights have drawn from the same generators

    def tokens(self, texts: list[str]) -> dict[str, torch.Tensor]:
        """Tokenise texts into one padded batch."""
        found = self.tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return {name: found[name] for name in ("input_ids", "attention_mask")}

    def collate(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Turn the numbers of training comments into a batch."""
        texts = [self.comments["train"].texts[i] for i in indices]
        return {**self.tokens(texts), "targets": self.targets[indices]}

    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the mean cross-entropy of a batch."""
        targets = batch.pop("targets")
        return nn.functional.cross_entropy(self.model(**batch), targets)

    def evaluate(self, accelerator: Accelerator) -> Figures:
        """Return macro-F1 and UA on ``dev``."""
        return self.scores("dev", accelerator)

    @torch.no_grad()
    def scores(self, split: str, accelerator: Accelerator) -> Figures:
        """Return macro-F1 and UA over the comments of a split that have an emotion."""
        self.model.eval()
        comments = self.comments[split]
        emotional = [i for i, label in enumerate(comments.labels) if label is not None]
        predicted = []
        size = self.config.per_device_eval_batch_size
        for start_at in range(0, len(emotional), size):
            batch = self.tokens([comments.texts[i] for i in emotional[start_at : start_at + size]])
            logits = self.model(**{k: v.to(accelerator.device) for k, v in batch.items()})
            predicted.append(logits.argmax(-1).cpu().numpy())
        truth, found = np.array([comments.labels[i] for i in emotional]), np.concatenate(predicted)
        return {
            "macro_f1": macro_f1(truth, found),
            "ua": ua(truth, found),
            "comments": len(emotional),
        }

    def score(self, figures: Figures) -> float | None:
        """Return the macro-F1."""
        return figures["macro_f1"]

    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the encoder, its tokenizer and its figures on ``dev`` and ``test``."""
        test = self.scores("test", accelerator)
        if accelerator.is_main_process:
            figures = {key: history[-1][key] for key in ("epoch", "macro_f1", "ua", "comments")}
            record = stage_record("text", ["goemotions"], self.config, **figures, test=test)
            classifier: Any = accelerator.unwrap_model(self.model)
            with replaced_folder(Path(self.config.output_dir)) as folder:
                classifier.encoder.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
                write_stage(folder, record)


def train_text(config: TextConfig) -> Figures:
    """Train, keep the best epoch by macro-F1 on ``dev``, and return its record.

    The record has the figures on ``dev`` and, under ``test``, those on ``test``.

    Raises:
        ConfigError: GoEmotions is not there, or a setting is refused.
        TrainingFailed: the loss is not a number, or the disk is full.
    """
    accelerator = start(config)
    comments = {name: read_comments(config.data, name) for name in ("train", "dev", "test")}
    tokenizer = train_wordpiece(comments["train"].texts, config.vocab_size)
    try:
        encoder = BertModel(
            BertConfig(vocab_size=len(tokenizer), **config.model), add_pooling_layer=False
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the encoder cannot be built: {str(error).splitlines()[0]}") from error
    tokenizer.model_max_length = encoder.config.max_position_embeddings
    changeable = ("data", "output_dir", "resume", "num_train_epochs", "patience", "report_to")
    settings = {key: value for key, value in config.to_dict().items() if key not in changeable}
    open_state(accelerator, config.output_dir, settings, resume=config.resume)
    fit(accelerator, TextTask(config, TextClassifier(encoder), tokenizer, comments))
    return read_stages(config.output_dir)[-1]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 when trained; 2, with one line on standard error, when that is not possible; 130 when
        stopped.
    """
    program = "recipes.mini.text_stage"
    try:
        config = parse_config(TextConfig, arguments, program=program, description=__doc__ or "")
        best = train_text(config)
    except (ConfigError, TrainingFailed) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: stopped; --resume goes on from the last saved state", file=sys.stderr)
        return 130
    if PartialState().is_main_process:
        score = best["test"]["macro_f1"]
        print(f"epoch {best['epoch']}: test macro-F1 {score:.3f}, in {config.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Train the text encoder to classify the emotion of a sentence.

    python -m recipes.mini.text_stage --config recipes/mini/text.yaml --output-dir runs/mini_text

A small BERT with its own WordPiece vocabulary is trained on GoEmotions folded to seven emotions
and neutral. A label is drawn as often as the square root of its number of comments. With
``init_from`` a pretrained BERT is tuned instead; with ``teacher`` the targets are in part the
probabilities of an encoder that this stage has trained before (knowledge distillation, Hinton et
al. 2015, arXiv 1503.02531). The folder written holds the encoder and its tokenizer, for
``text_config`` of a later run, and the linear layer, for ``teacher``.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, Sampler, WeightedRandomSampler
from transformers import AutoTokenizer, BertConfig, BertModel

from corpus_builder.labels import VOTE_CLASSES
from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import masked_mean
from speech_emotion.metrics import macro_f1, ua
from speech_emotion.training.batching import text_batches
from speech_emotion.training.build import train_wordpiece
from speech_emotion.training.config import EpochConfig
from speech_emotion.training.fit import Figures, History, Task, fit, start
from speech_emotion.training.goemotions import Comments, read_comments
from speech_emotion.training.parsing import ConfigError, option, parse_config
from speech_emotion.training.provenance import read_stages, stage_record, write_stage
from speech_emotion.training.saving import (
    TrainingFailed,
    one_line,
    open_state,
    replaced_folder,
)

HEAD_FILE = "head.safetensors"
"""Weights of the linear layer, beside those of the encoder."""

NEUTRAL = VOTE_CLASSES.index("neutral")


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
    init_from: str = option(
        "", "Hub id or folder of a pretrained BERT to tune, with its vocabulary; model is not used"
    )
    teacher: str = option("", "output folder of another text stage, which gives soft targets")
    teacher_weight: float = option(0.5, "share of the teacher's probabilities in the targets")
    mask_share: float = option(0.0, "share of the words of a training comment that are masked")
    dropout: float = option(0.1, "dropout before the linear layer")
    label_smoothing_factor: float = option(0.0, "share of equal probabilities in the targets")
    num_train_epochs: int = option(4, "epochs; each draws as many comments as there are")
    per_device_train_batch_size: int = option(64, "comments in a batch of each process")
    per_device_eval_batch_size: int = option(256, "validation comments in a batch")
    gradient_accumulation_steps: int = option(1, "batches of one optimiser step")
    learning_rate: float = option(5e-4, "highest learning rate")
    warmup_steps: int = option(200, "optimiser steps in which the learning rate rises from zero")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_share("teacher_weight", "mask_share", "dropout", "label_smoothing_factor")


class TextClassifier(nn.Module):
    """BERT, the mean over real tokens, dropout and one linear layer, as in the whole model.

    Args:
        encoder: BERT.
        dropout: probability of zeroing a number before the linear layer.
    """

    def __init__(self, encoder: BertModel, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, len(VOTE_CLASSES))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """``(batch, tokens)`` to logits ``(batch, 8)``: the emotions and neutral."""
        hidden_states = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        return self.head(self.dropout(masked_mean(hidden_states, attention_mask)))

    def save(self, folder: Path) -> None:
        """Write the encoder, and the linear layer as :data:`HEAD_FILE`."""
        self.encoder.save_pretrained(folder)
        save_file(self.head.state_dict(), folder / HEAD_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> "TextClassifier":
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: there is no such encoder or linear layer.
        """
        try:
            encoder = BertModel.from_pretrained(
                folder, dtype=torch.float32, add_pooling_layer=False
            )
            model = cls(encoder)
            model.head.load_state_dict(load_file(Path(folder) / HEAD_FILE))
        except Exception as error:  # transformers and safetensors raise many kinds
            raise ConfigError(f"teacher {folder}: cannot be loaded ({one_line(error)})") from error
        return model.eval()


class Tokens:
    """Turns texts into padded batches.

    Args:
        tokenizer: of a BERT.
        max_tokens: longer texts are cut.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self.tokenizer, self.max_tokens = tokenizer, max_tokens

    def __call__(self, texts: list[str], mask_share: float = 0.0) -> dict[str, torch.Tensor]:
        """Tokenise texts; each token but the special ones is masked with this probability."""
        found = self.tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        ids, special = found["input_ids"], found["special_tokens_mask"].bool()
        if mask_share:
            masked = (torch.rand(ids.shape) < mask_share) & ~special
            ids = ids.masked_fill(masked, self.tokenizer.mask_token_id)
        return {"input_ids": ids, "attention_mask": found["attention_mask"]}


@torch.no_grad()
def logits_of(
    model: nn.Module, tokens: Tokens, texts: list[str], batch_size: int, device: torch.device
) -> torch.Tensor:
    """Return the logits of texts, ``(texts, 8)``; batches are of texts of similar length."""
    model.eval()
    logits = torch.empty(len(texts), len(VOTE_CLASSES))
    for chosen in text_batches(texts, batch_size):
        batch = tokens([texts[index] for index in chosen])
        logits[chosen] = model(**{k: v.to(device) for k, v in batch.items()}).float().cpu()
    return logits


def label_ids(comments: Comments) -> list[int]:
    """Return the labels of comments, neutral being the last."""
    return [NEUTRAL if label is None else label for label in comments.labels]


def soft_targets(
    labels: list[int], smoothing: float, teacher: torch.Tensor | None, teacher_weight: float
) -> torch.Tensor:
    """Return the target probabilities of comments, ``(comments, 8)``.

    Args:
        labels: true labels.
        smoothing: share of equal probabilities.
        teacher: probabilities ``(comments, 8)`` of a teacher.
        teacher_weight: their share.
    """
    targets = torch.eye(len(VOTE_CLASSES))[labels]
    targets = targets * (1 - smoothing) + smoothing / len(VOTE_CLASSES)
    return targets if teacher is None else torch.lerp(targets, teacher, teacher_weight)


def draw_weights(labels: list[int]) -> torch.Tensor:
    """Weight with which each comment is drawn: its label has the root of its number of comments."""
    counts = {label: labels.count(label) for label in set(labels)}
    return torch.tensor([counts[label] ** -0.5 for label in labels], dtype=torch.double)


class DrawnBatches(Sampler[list[int]]):
    """As many comments as there are, drawn by weight, in batches of similar length.

    Args:
        weights: of each comment.
        lengths: of each comment, in any unit.
        batch_size: comments in a batch; the last one may be smaller.
    """

    def __init__(self, weights: torch.Tensor, lengths: list[int], batch_size: int) -> None:
        self.drawn = WeightedRandomSampler(weights.tolist(), len(lengths))
        self.lengths, self.batch_size = lengths, batch_size

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = sorted(self.drawn, key=self.lengths.__getitem__)
        for index in torch.randperm(len(self)).tolist():
            yield order[index * self.batch_size : (index + 1) * self.batch_size]


class TextTask(Task):
    """Cross-entropy with soft targets; the epoch with the best macro-F1 on ``dev`` is kept.

    Args:
        config: settings of the run.
        model: the classifier.
        tokens: of the encoder.
        comments: ``train``, ``dev`` and ``test``.
        teacher: probabilities of a teacher for the training comments, ``(comments, 8)``.
    """

    config: TextConfig

    def __init__(
        self,
        config: TextConfig,
        model: TextClassifier,
        tokens: Tokens,
        comments: dict[str, Comments],
        teacher: torch.Tensor | None = None,
    ) -> None:
        self.tokens, self.comments = tokens, comments
        labels = label_ids(comments["train"])
        self.targets = soft_targets(
            labels, config.label_smoothing_factor, teacher, config.teacher_weight
        )
        texts = comments["train"].texts
        batches = DrawnBatches(
            draw_weights(labels),
            [len(text) for text in texts],
            config.per_device_train_batch_size,
        )
        loader: DataLoader = DataLoader(
            range(len(texts)),
            batch_sampler=batches,
            collate_fn=self.collate,
        )
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        super().__init__(config, model, optimizer, loader)
        self.seed = None  # the vocabulary and the weights have drawn from the same generators

    def collate(self, indices: list[int]) -> dict[str, torch.Tensor]:
        """Turn the numbers of training comments into a batch."""
        texts = [self.comments["train"].texts[i] for i in indices]
        return {**self.tokens(texts, self.config.mask_share), "targets": self.targets[indices]}

    def loss(self, batch: Any, accelerator: Accelerator) -> torch.Tensor:
        """Return the mean cross-entropy of a batch."""
        targets = batch.pop("targets")
        return nn.functional.cross_entropy(self.model(**batch), targets)

    def evaluate(self, accelerator: Accelerator) -> Figures:
        """Return the scores on ``dev``."""
        return self.scores("dev", accelerator)

    def scores(self, split: str, accelerator: Accelerator) -> Figures:
        """Return macro-F1 and UA over all comments of a split; and in seven emotions.

        The latter are of the comments that have one, among the emotions.
        """
        comments = self.comments[split]
        size = self.config.per_device_eval_batch_size
        logits = logits_of(self.model, self.tokens, comments.texts, size, accelerator.device)
        truth = np.array(label_ids(comments))
        found, emotional = logits.argmax(-1).numpy(), truth != NEUTRAL
        seven = logits[emotional, : len(EMOTIONS)].argmax(-1).numpy()
        return {
            "macro_f1": macro_f1(truth, found),
            "ua": ua(truth, found),
            "comments": len(truth),
            "macro_f1_emotions": macro_f1(truth[emotional], seven),
            "ua_emotions": ua(truth[emotional], seven),
        }

    def score(self, figures: Figures) -> float | None:
        """Return the macro-F1."""
        return figures["macro_f1"]

    def save(self, accelerator: Accelerator, history: History) -> None:
        """Write the encoder, its tokenizer and its figures on ``dev`` and ``test``."""
        test = self.scores("test", accelerator)
        if accelerator.is_main_process:
            figures = {key: history[-1][key] for key in ("epoch", *test)}
            start_from = self.config.init_from
            sources = [
                "goemotions",
                Path(start_from).name if Path(start_from).is_dir() else start_from,
            ]
            record = stage_record(
                "text", [name for name in sources if name], self.config, **figures, test=test
            )
            if self.config.teacher:
                record["before"] = read_stages(self.config.teacher)
            classifier: Any = accelerator.unwrap_model(self.model)
            with replaced_folder(Path(self.config.output_dir)) as folder:
                classifier.save(folder)
                self.tokens.tokenizer.save_pretrained(folder)
                write_stage(folder, record)


def train_text(config: TextConfig) -> Figures:
    """Train, keep the best epoch by macro-F1 on ``dev``, and return its record.

    The record has the figures on ``dev`` and, under ``test``, those on ``test``.

    Raises:
        ConfigError: GoEmotions, the pretrained encoder or the teacher is not there, or a setting
            is refused.
        TrainingFailed: the loss is not a number, or the disk is full.
    """
    accelerator = start(config)
    comments = {name: read_comments(config.data, name) for name in ("train", "dev", "test")}
    encoder, tokenizer = _encoder(config, comments["train"].texts)
    changeable = ("data", "output_dir", "resume", "num_train_epochs", "patience", "report_to")
    settings = {key: value for key, value in config.to_dict().items() if key not in changeable}
    open_state(accelerator, config.output_dir, settings, resume=config.resume)
    tokens = Tokens(tokenizer, config.max_tokens)
    teacher = _teacher(config, comments["train"].texts, accelerator) if config.teacher else None
    fit(
        accelerator,
        TextTask(config, TextClassifier(encoder, config.dropout), tokens, comments, teacher),
    )
    return read_stages(config.output_dir)[-1]


def _encoder(config: TextConfig, texts: list[str]) -> tuple[BertModel, Any]:
    """The encoder and its tokenizer: pretrained ones, or random weights and a new vocabulary."""
    try:
        if config.init_from:
            tokenizer = AutoTokenizer.from_pretrained(config.init_from)
            encoder = BertModel.from_pretrained(
                config.init_from, dtype=torch.float32, add_pooling_layer=False
            )
        else:
            tokenizer = train_wordpiece(texts, config.vocab_size)
            bert = BertConfig(vocab_size=len(tokenizer), **config.model)
            encoder = BertModel(bert, add_pooling_layer=False)
    except Exception as error:  # transformers raises many kinds
        raise ConfigError(f"the encoder cannot be built: {one_line(error)}") from error
    tokenizer.model_max_length = encoder.config.max_position_embeddings
    return encoder, tokenizer


def _teacher(config: TextConfig, texts: list[str], accelerator: Accelerator) -> torch.Tensor:
    """The teacher's probabilities of the training comments, ``(comments, 8)``."""
    model = TextClassifier.load(config.teacher).to(accelerator.device)
    tokens = Tokens(AutoTokenizer.from_pretrained(config.teacher), config.max_tokens)
    size = config.per_device_eval_batch_size
    return logits_of(model, tokens, texts, size, accelerator.device).softmax(-1)


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

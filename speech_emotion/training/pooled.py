"""The part of the model after its encoders, which is trained when both encoders are frozen."""

import copy

import torch
from torch import nn

from hub_model.modeling_hubert_bert import HubertBertForEmotion


class PooledModel(HubertBertForEmotion):
    """The model with pooled vectors as input instead of waveforms and tokens.

    It shares its weights with the whole model, and has the same output. In its ``forward``,
    ``input_values`` is ``(batch, audio_embedding_size)``, or ``(batch, layers, hidden size)`` when
    the model weights the layers of its speech encoder; ``input_ids`` is
    ``(batch, text_embedding_size)`` and ``text_attention_mask`` ``(batch, 1)``.
    """

    @classmethod
    def of(cls, model: HubertBertForEmotion) -> "PooledModel":
        """Return the part of a model that comes after its encoders."""
        pooled = copy.copy(model)
        pooled.__class__ = cls
        pooled._modules = {
            name: part
            for name, part in model._modules.items()
            if name not in ("audio_model", "text_model")
        }
        return pooled

    def standardize(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Standardise the input of the classifier from now on.

        Args:
            mean, std: ``(audio_embedding_size + text_embedding_size,)``, over the training clips.
        """
        self.classifier = StandardizedClassifier(
            self.classifier,
            mean=mean,
            std=std,
            # Dropout must replace a value by its mean, so it comes after standardisation.
            dropout=nn.ModuleList([self.audio_dropout, self.text_dropout]),
            sizes=[self.config.audio_embedding_size, self.config.text_embedding_size],
        )
        self.audio_dropout = self.text_dropout = nn.Identity()

    def _embed_audio(
        self, inputs: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        if not self.config.use_weighted_layer_sum:
            return inputs
        # The mean over time of a weighted sum is the weighted sum of the means.
        return torch.einsum("l,blh->bh", self.layer_weights.softmax(-1), inputs)

    def _embed_text(
        self, input_ids: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return input_ids, mask.sum(-1) > 0


class StandardizedClassifier(nn.Linear):
    """A linear classifier on standardised vectors; it shares the weights of an ordinary one.

    Args:
        linear: the classifier.
        mean, std: ``(features,)``.
        dropout: one for the speech vector and one for the text vector.
        sizes: length of both.
    """

    def __init__(
        self,
        linear: nn.Linear,
        *,
        mean: torch.Tensor,
        std: torch.Tensor,
        dropout: nn.ModuleList,
        sizes: list[int],
    ) -> None:
        super().__init__(linear.in_features, linear.out_features)
        self.weight, self.bias = linear.weight, linear.bias
        self.dropout, self.sizes = dropout, sizes
        self.register_buffer("mean", mean)
        # A constant value would be divided by zero.
        self.register_buffer("std", torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(batch, features)`` to logits ``(batch, num_labels)``."""
        parts = ((features - self.mean) / self.std).split(self.sizes, dim=-1)
        dropped = [drop(part) for drop, part in zip(self.dropout, parts, strict=True)]
        return super().forward(torch.cat(dropped, dim=-1))

    @torch.no_grad()
    def folded(self) -> dict[str, torch.Tensor]:
        """Weight and bias of the linear layer with the same output for unstandardised vectors."""
        weight = self.weight.double() / self.std
        bias = self.bias.double() - weight @ self.mean.double()
        return {"weight": weight.float(), "bias": bias.float()}

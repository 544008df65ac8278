"""The part of the model after its encoders, which is trained when both encoders are frozen."""

import copy

import torch

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

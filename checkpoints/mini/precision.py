"""Less exact numbers for more speed on a CPU: bfloat16, or 8-bit linear layers.

About half the time of a HuBERT is spent in linear layers and a third in convolutions. bfloat16
halves both on a CPU that has instructions for it (``avx512_bf16`` or ``amx`` in ``lscpu``). 8-bit
numbers take the linear layers further; the convolutions, which lose more by them, stay in
bfloat16. Heads, norms and sums stay exact.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from .modeling_hubert_bert import HubertBertForEmotion

PRECISIONS = ("fp32", "bf16", "int8")

READS_WEIGHTS = ("WavLMAttention",)
"""Layers that take the weights of their linear layers instead of calling them."""


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, one scale an output, and 8-bit inputs, one scale a call.

    It computes with oneDNN and stands for inference only.

    Args:
        linear: the layer whose place it takes.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        quantised = torch.round(weight / scale[:, None]).to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(quantised, None)
        self._scale, self._zero = scale, torch.zeros(len(scale), dtype=torch.int32)
        self._bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Multiply ``(..., in_features)`` float32; return ``(..., out_features)`` float32."""
        low, high = (bound.item() for bound in torch.aminmax(hidden_states))
        low, high = min(low, 0.0), max(high, 0.0)
        step = max(high - low, 1e-12) / 255
        zero = round(-low / step)
        quantised = (hidden_states / step).round_().add_(zero).clamp_(0, 255).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            quantised.contiguous(),
            step,
            zero,
            self._packed,
            self._scale,
            self._zero,
            self._bias,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )


def set_precision(model: HubertBertForEmotion, precision: str) -> HubertBertForEmotion:
    """Change a loaded model in place; it cannot be trained or saved afterwards.

    Args:
        model: float32, on the CPU for ``int8``.
        precision: one of :data:`PRECISIONS`.

    Raises:
        ValueError: another precision, or this machine has no 8-bit layers.

    Example:
        >>> set_precision(None, "fp64")
        Traceback (most recent call last):
        ...
        ValueError: precision must be fp32, bf16 or int8, not 'fp64'
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be fp32, bf16 or int8, not {precision!r}")
    parts: list[PreTrainedModel] = [model.audio_model] if precision != "fp32" else []
    if parts and model.config.use_text:
        parts.append(model.text_model)
    for part in parts:
        if precision == "bf16":
            part.to(torch.bfloat16)
        else:
            _set_int8(part)
    return model


def _set_int8(encoder: PreTrainedModel) -> None:
    if encoder.device.type != "cpu" or not hasattr(torch.ops.onednn, "qlinear_prepack"):
        raise ValueError("precision int8 needs a CPU and a torch with oneDNN; bf16 does not")
    if hasattr(encoder, "feature_extractor"):
        encoder.feature_extractor.to(torch.bfloat16)
    _replace(encoder)


def _replace(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, Int8Linear(child))
        elif type(child).__name__ not in READS_WEIGHTS:
            _replace(child)

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

INPUT_STEPS = 255 if torch.cpu._is_vnni_supported() else 127
"""Steps of an 8-bit input. Without VNNI a processor adds two products in 16 bits, which overflow
unless the inputs have 7 bits."""

READS_WEIGHTS = ("WavLMAttention",)
"""Layers that take the weights of their linear layers instead of calling them."""


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, one scale an output, and 8-bit inputs, one scale a frame.

    A frame is quantised by its own range, so that no other frame or clip of a batch changes its
    result. It computes with oneDNN and stands for inference only.

    Args:
        linear: the layer whose place it takes.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self._scale = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        quantised = torch.round(weight / self._scale[:, None])
        self._packed = torch.ops.onednn.qlinear_prepack(quantised.to(torch.int8), None)
        self._zero = torch.zeros(len(weight), dtype=torch.int32)
        self._sums = quantised.sum(dim=1) * self._scale
        self._bias = 0.0 if linear.bias is None else linear.bias.detach().float()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Multiply ``(..., in_features)`` float32; return ``(..., out_features)`` float32."""
        low = hidden_states.amin(dim=-1, keepdim=True)
        step = (hidden_states.amax(dim=-1, keepdim=True) - low).clamp(min=1e-12) / INPUT_STEPS
        codes = ((hidden_states - low) / step).round_().to(torch.uint8)
        product = torch.ops.onednn.qlinear_pointwise(
            codes.contiguous(),
            1.0,
            0,
            self._packed,
            self._scale,
            self._zero,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        # An input is low + step * code, and the product of the weights and low is known.
        return product.mul_(step).addcmul_(low, self._sums).add_(self._bias)


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

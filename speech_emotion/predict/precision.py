"""Reduced precision for speed on a CPU: bfloat16, or 8-bit linear layers.

bfloat16 is faster on a processor that has instructions for it (``avx512_bf16`` or ``amx`` in
``lscpu``): most of the time of a HuBERT goes into matrix products, and those are several times as
fast. 8-bit weights save three quarters of the memory of the linear layers; the convolutions, which
lose more accuracy by them, are then in bfloat16. Heads, norms and residual sums stay in float32.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from hub_model.convolutions import MaskedFeatureEncoder, windows_of
from hub_model.modeling_hubert_bert import HubertBertForEmotion

PRECISIONS = ("fp32", "bf16", "int8")

INPUT_STEPS = 255 if torch.cpu._is_vnni_supported() else 127
"""Steps of an 8-bit input. Without VNNI a processor adds two products in 16 bits, which overflow
unless the inputs have 7 bits."""

MIN_CHANNELS = 16
"""With fewer channels per group, a bfloat16 convolution with a long kernel returns noise on
processors with AMX (oneDNN 3.12, torch 2.13: every element wrong, no error)."""

READS_WEIGHTS = ("WavLMAttention",)
"""Layers that read the weights of their linear layers instead of calling them."""

NOT_CORRECTED = ("q_proj", "k_proj")
"""Linear layers whose mean error is not corrected: a constant added to every key cancels in the
softmax, and one added to every query has almost no effect."""

LAST_IN_FLOAT32 = 2
"""Number of last convolutions that stay in float32: they have the fewest frames, so they cost
little, and their rounding errors are averaged over the fewest frames."""


class RoundedFeatureEncoder(MaskedFeatureEncoder):
    """Convolutions of which all but the first and the last two are in bfloat16.

    The first reads the waveform itself. The rounding errors of a kernel's weights are summed over
    its taps to ``(out, in)``. Silent frames do not contribute to the mean frame, so the correction
    is scaled by the projection of each window onto it.

    Args:
        stock: the stack that it replaces; its layers are rounded in place.
    """

    def __init__(self, stock: nn.Module) -> None:
        super().__init__(stock)
        for layer in self.conv_layers[1:-LAST_IN_FLOAT32]:
            weight, lost = halves(layer.conv.weight.detach().transpose(1, 2).contiguous())
            lost = lost.sum(dim=1).to(torch.bfloat16)
            layer.conv.register_buffer("lost", lost, persistent=False)
            layer.conv.weight.data = weight.transpose(1, 2)  # as windows need it
            if layer.conv.bias is not None:
                layer.conv.bias.data = layer.conv.bias.to(torch.bfloat16)
            if hasattr(layer, "layer_norm"):
                layer.layer_norm.register_forward_pre_hook(_as_float32)

    def _first_product(self, waveform: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames, *weights = super()._first_product(waveform)
        if weights and self.conv_layers[1].conv.weight.dtype == torch.bfloat16 != frames.dtype:
            return _product_in_halves(frames, *weights)
        return frames, *weights

    def _convolved(self, conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
        if not hasattr(conv, "lost"):
            return super()._convolved(conv, frames)
        # The small correction comes first, so that only its sum with the product is rounded.
        (kernel,), (stride,) = conv.kernel_size, conv.stride
        weight = conv.weight.transpose(1, 2).reshape(len(conv.weight), -1)
        some = frames[::4]
        mean = some.new_full((len(some),), 1 / len(some)) @ some
        share = torch.mv(frames, mean) / mean.dot(mean).clamp(min=1e-12)
        found = share.unfold(0, kernel, stride).mean(dim=1)[:, None] * torch.mv(conv.lost, mean)
        if conv.bias is not None:
            found += conv.bias
        return found.addmm_(windows_of(conv, frames), weight.T)


class Bf16Linear(nn.Module):
    """A linear layer in bfloat16 whose error has a mean of about zero over the frames of a clip.

    Rounding errors of inputs differ from frame to frame and cancel in the mean over a clip's
    frames; those of weights are the same in every frame. So the errors of the weights are kept and
    multiplied by the mean frame of each clip: a matrix-vector product instead of a second matrix
    product.

    Args:
        linear: the layer that it replaces.
        correct: add the correction.
    """

    def __init__(self, linear: nn.Linear, *, correct: bool = True) -> None:
        super().__init__()
        bias = linear.bias
        weight, lost = halves(linear.weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach().to(torch.bfloat16))
        self.register_buffer("lost", lost.to(torch.bfloat16) if correct else None)
        if weight.device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
            # Reordered for the processor once instead of at every call.
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight)
        else:
            self.register_buffer("weight", weight)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Multiply ``(batch, ..., frames, in_features)``; return the same, ``out_features`` wide.

        The result is in bfloat16 whatever the input is.
        """
        hidden_states = hidden_states.to(torch.bfloat16)
        if self.lost is None:
            return self._product(hidden_states)
        frames = hidden_states.shape[-2]
        share = hidden_states.new_full((1, frames), 1 / frames)
        mean = nn.functional.linear(share @ hidden_states, self.lost)
        if not hasattr(self, "_packed"):
            return self._product(hidden_states) + mean
        mean = mean.expand(*hidden_states.shape[:-1], -1).contiguous()
        return torch.ops.mkldnn._linear_pointwise.binary(  # rounds the sum once
            hidden_states, mean, self._packed, self.bias, "add"
        )

    def _product(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if hasattr(self, "_packed"):
            return torch.ops.mkldnn._linear_pointwise(
                hidden_states, self._packed, self.bias, "none", [], ""
            )
        return nn.functional.linear(hidden_states, self.weight, self.bias)


class Int8Linear(nn.Module):
    """A linear layer with 8-bit weights, a scale per output, and 8-bit inputs, a scale per frame.

    A frame is quantised by its own range, so no other frame or clip of a batch changes its result.
    It computes with oneDNN and is for inference only.

    Args:
        linear: the layer that it replaces.
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
        # An input is low + step * code; the product of the weights with low is known in advance.
        return product.mul_(step).addcmul_(low, self._sums).add_(self._bias)


def set_precision(model: HubertBertForEmotion, precision: str) -> HubertBertForEmotion:
    """Convert a loaded model in place; it cannot be trained or saved afterwards.

    Args:
        model: float32, on the CPU for ``int8``.
        precision: one of :data:`PRECISIONS`.

    Raises:
        ValueError: an unknown precision, or this machine does not support 8-bit layers.

    Example:
        >>> set_precision(None, "fp64")
        Traceback (most recent call last):
        ...
        ValueError: precision must be fp32, bf16 or int8, not 'fp64'
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be fp32, bf16 or int8, not {precision!r}")
    if precision == "bf16":
        _set_bf16(model.audio_model)
        if model.config.use_text:
            model.text_model.to(torch.bfloat16)
    elif precision == "int8":
        _set_int8(model.audio_model)
        if model.config.use_text:
            _set_int8(model.text_model)
    return model


def _set_bf16(encoder: PreTrainedModel) -> None:
    """Products in bfloat16; norms and the residual hidden states in float32."""
    for name, part in list(encoder.named_children()):
        if name == "feature_extractor":
            encoder.feature_extractor = RoundedFeatureEncoder(part)
        elif name != "feature_projection":  # start of the residual hidden states; it is cheap
            _replace(
                part, lambda name, linear: Bf16Linear(linear, correct=name not in NOT_CORRECTED)
            )
            _round(part)


def _round(module: nn.Module) -> None:
    narrow = isinstance(module, nn.Conv1d) and module.in_channels // module.groups < MIN_CHANNELS
    if narrow or isinstance(module, nn.LayerNorm):
        module.register_forward_pre_hook(_as_float32)
        return
    for child in module.children():
        _round(child)
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(torch.bfloat16)
    if isinstance(module, nn.Conv1d) or type(module).__name__ in READS_WEIGHTS:
        module.register_forward_pre_hook(_as_bfloat16)


def _as_float32(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0].float(), *inputs[1:])


def _as_bfloat16(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (inputs[0].to(torch.bfloat16), *inputs[1:])


def _set_int8(encoder: PreTrainedModel) -> None:
    if encoder.device.type != "cpu" or not hasattr(torch.ops.onednn, "qlinear_prepack"):
        raise ValueError("precision int8 needs a CPU and a torch with oneDNN; bf16 does not")
    if hasattr(encoder, "feature_extractor"):
        encoder.feature_extractor = RoundedFeatureEncoder(encoder.feature_extractor)
    _replace(encoder, lambda _, linear: Int8Linear(linear))


def _product_in_halves(
    waveform: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A float32 product with a waveform ``(num_samples, 1)`` as one in bfloat16.

    A float32 number is nearly the sum of two bfloat16 numbers. Of the four products of two such
    sums, that of the lower halves is left out. The bias is multiplied by one.
    """
    high, low = halves(waveform)
    frames = torch.cat([high, low.to(high.dtype), high, torch.ones_like(high)], dim=1)
    weight_high, weight_low = halves(weight)
    biases = torch.zeros_like(weight_high)
    biases[:, :2] = torch.stack(halves(bias), dim=1)
    taps = torch.stack([weight_high, weight_high, weight_low.to(high.dtype), biases], dim=2)
    return frames, taps.flatten(1)


def halves(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a float32 tensor to bfloat16; return the result, and the error in float32."""
    high = exact.to(torch.bfloat16)
    return high, exact - high


def _replace(module: nn.Module, make: Callable[[str, nn.Linear], nn.Module]) -> None:
    """Replace each linear layer by ``make(name, layer)``."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, make(name, child))
        elif type(child).__name__ not in READS_WEIGHTS:
            _replace(child, make)

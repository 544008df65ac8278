"""The convolutions of the wav2vec 2.0 family: told where each clip ends, and fast on a CPU."""

import math
from functools import partial

import torch
from torch import nn

CHUNK = 100
"""Frames, of 20 ms, that go through the convolutions together on a processor."""


def masked_group_norm(
    hidden_states: torch.Tensor, norm: nn.GroupNorm, lengths: torch.Tensor
) -> torch.Tensor:
    """Group norm whose statistics leave out the padding of a batch.

    HuBERT base normalises the output of its first convolution over time. With the stock layer
    the padding of a short clip enters the mean and the variance, so that a clip gets another
    answer in a batch than alone.

    Args:
        hidden_states: ``(batch, channels, frames)``.
        norm: the layer whose groups, weights and epsilon are used.
        lengths: ``(batch,)``, the real frames of each row, on its left.

    Returns:
        ``(batch, channels, frames)``; what it holds in the padding means nothing.
    """
    batch, channels, frames = hidden_states.shape
    shape = (norm.num_groups, channels // norm.num_groups)
    real = torch.arange(frames, device=hidden_states.device) < lengths[:, None]
    real = real[:, None, None, :].to(torch.float32)
    grouped = hidden_states.float().view(batch, *shape, frames)
    count = lengths[:, None, None, None] * shape[1]
    mean = (grouped * real).sum(dim=(2, 3), keepdim=True) / count
    centred = (grouped - mean) * real
    variance = centred.square().sum(dim=(2, 3), keepdim=True) / count
    scale = norm.weight.float().view(*shape, 1) * torch.rsqrt(variance + norm.eps)
    normal = centred * scale + norm.bias.float().view(*shape, 1)
    return normal.view_as(hidden_states).to(hidden_states.dtype)


class MaskedFeatureEncoder(nn.Module):
    """The convolutions of a wav2vec 2.0 family encoder, told where each row ends.

    It takes the place of the encoder's own stack and holds the same layers under the same names.
    The lengths are an argument: nothing is kept between calls, so that threads may share a model.
    What has been through the convolutions passes unchanged, so that the encoder can be called with
    the result.

    Args:
        stock: the ``feature_extractor`` of the encoder.
    """

    def __init__(self, stock: nn.Module) -> None:
        super().__init__()
        self.conv_layers = stock.conv_layers

    def _freeze_parameters(self) -> None:
        """Train no convolution; the name is the one that ``transformers`` uses."""
        self.requires_grad_(False)

    def forward(
        self, hidden_states: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Convolve waveforms.

        Args:
            hidden_states: ``(batch, num_samples)``; or ``(batch, channels, frames)``, which is
                returned as it is.
            lengths: ``(batch,)``, the real samples of each row; all when not given.

        Returns:
            ``(batch, channels, frames)``.
        """
        if hidden_states.ndim == 3:
            return hidden_states
        on_cpu = hidden_states.device.type == "cpu" and not torch.compiler.is_compiling()
        if lengths is not None and on_cpu and not torch.is_grad_enabled():
            return self._row_by_row(hidden_states, lengths.tolist())
        return self._convolve(hidden_states[:, None], lengths)

    def _row_by_row(self, waveforms: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Convolve no padding, and normalise without masks.

        A processor gains nothing from a batch of convolutions, whose outputs leave its cache.
        """
        rows = [
            self._frames(waveform[:length])
            for waveform, length in zip(waveforms, lengths, strict=True)
        ]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True).transpose(1, 2)

    def _frames(self, waveform: torch.Tensor) -> torch.Tensor:
        """Convolve ``(num_samples,)``; return ``(frames, channels)``.

        With the channels of a frame side by side in memory, a convolution is one product of
        matrices over windows that overlap. A few seconds at a time go through all layers, so that
        what lies between them stays small; what chunks share is a few frames, convolved twice.
        """
        conv, norm = self.conv_layers[0].conv, getattr(self.conv_layers[0], "layer_norm", None)
        frames, weights = waveform.to(conv.weight.dtype)[:, None], ()
        if isinstance(norm, nn.GroupNorm):
            weights = _with_norm(conv, norm, frames[:, 0])
            if self.conv_layers[1].conv.weight.dtype == torch.bfloat16 != frames.dtype:
                frames, *weights = _product_in_halves(frames, *weights)
        step = math.prod(layer.conv.stride[0] for layer in self.conv_layers)
        count = (len(frames) - self._samples(1)) // step + 1
        chunks = []
        for start in range(0, count, CHUNK):
            length = self._samples(min(CHUNK, count - start))
            chunks.append(self._chunk(frames[start * step :][:length], *weights))
        return torch.cat(chunks)

    def _samples(self, frames: int) -> int:
        """How many samples make so many frames."""
        for layer in reversed(self.conv_layers):
            frames = (frames - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        return frames

    def _chunk(self, frames: torch.Tensor, *first: torch.Tensor) -> torch.Tensor:
        """Convolve ``(num_samples, 1)``, the first time by weights that do its norm as well."""
        for index, layer in enumerate(self.conv_layers):
            if index == 0 and first:
                frames = nn.functional.linear(_windows(layer.conv, frames), *first)
            else:
                frames = convolve_frames(layer.conv, frames)
                if hasattr(layer, "layer_norm"):
                    frames = layer.layer_norm(frames)
            frames = layer.activation(frames)
        return frames

    def _convolve(self, hidden_states: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        for layer in self.conv_layers:
            hidden_states = hidden_states.to(layer.conv.weight.dtype)  # see the module on precision
            if lengths is not None:
                (kernel,), (stride,) = layer.conv.kernel_size, layer.conv.stride
                lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
            if lengths is None or not isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                hidden_states = layer(hidden_states)
            elif layer.gradient_checkpointing and self.training:
                run = partial(_convolve_masked, layer, lengths)
                hidden_states = layer._gradient_checkpointing_func(run, hidden_states)
            else:
                hidden_states = _convolve_masked(layer, lengths, hidden_states)
        return hidden_states


def _with_norm(
    conv: nn.Conv1d, norm: nn.GroupNorm, waveform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution over a waveform that does the work of its norm as well.

    Every channel is a group of its own. Its mean and variance over a clip follow from those of the
    windows that it is multiplied with, which are as short as the kernel.
    """
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    windows = waveform.double().unfold(0, kernel, stride)
    mean = windows.mean(dim=0)
    windows = windows - mean
    weight = conv.weight[:, 0].double()
    variance = ((weight @ (windows.T @ windows / len(windows))) * weight).sum(dim=1)
    scale = norm.weight.double() * torch.rsqrt(variance + norm.eps)
    bias = norm.bias.double() - scale * (weight @ mean)
    return (weight * scale[:, None]).to(conv.weight.dtype), bias.to(conv.weight.dtype)


def _product_in_halves(
    waveform: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A float32 product with a waveform ``(num_samples, 1)`` as one in bfloat16.

    A float32 is nearly the sum of two bfloat16 numbers. Of the four products of two such sums,
    that of the lower halves is left out. The bias is a product with one.
    """
    high, low = halves(waveform)
    frames = torch.cat([high, low.to(high.dtype), high, torch.ones_like(high)], dim=1)
    weight_high, weight_low = halves(weight)
    biases = torch.zeros_like(weight_high)
    biases[:, :2] = torch.stack(halves(bias), dim=1)
    taps = torch.stack([weight_high, weight_high, weight_low.to(high.dtype), biases], dim=2)
    return frames, taps.flatten(1)


def halves(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a float32 tensor to bfloat16; return that, and what it lost, in float32."""
    high = exact.to(torch.bfloat16)
    return high, exact - high


def convolve_frames(conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """Convolve ``(frames, channels)``; the layer may be one that :mod:`.precision` has rounded."""
    frames = frames.to(conv.weight.dtype)
    weight = conv.weight.transpose(1, 2).reshape(len(conv.weight), -1)
    windows = _windows(conv, frames)
    if not hasattr(conv, "lost"):
        return nn.functional.linear(windows, weight, conv.bias)
    # See the module on precision. What is added comes first: it is small, so that only the sum
    # with the product loses anything when it is rounded.
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    some = frames[::4]
    mean = some.new_full((len(some),), 1 / len(some)) @ some
    share = torch.mv(frames, mean) / mean.dot(mean).clamp(min=1e-12)
    found = share.unfold(0, kernel, stride).mean(dim=1)[:, None] * torch.mv(conv.lost, mean)
    if conv.bias is not None:
        found += conv.bias
    return found.addmm_(windows, weight.T)


def _windows(conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
    """What a convolution over ``(frames, channels)`` multiplies, ``(windows, kernel * channels)``.

    The windows overlap in memory.
    """
    (kernel,), (stride,) = conv.kernel_size, conv.stride
    frames = frames.contiguous()
    channels = frames.shape[1]
    count = (len(frames) - kernel) // stride + 1
    shape, strides = (count, kernel * channels), (stride * channels, 1)
    return frames.as_strided(shape, strides, frames.storage_offset())


def _convolve_masked(
    layer: nn.Module, lengths: torch.Tensor, hidden_states: torch.Tensor
) -> torch.Tensor:
    hidden_states = masked_group_norm(layer.conv(hidden_states), layer.layer_norm, lengths)
    return layer.activation(hidden_states)

"""The convolutions of the wav2vec 2.0 family, with masks for padding, and fast on a CPU."""

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
    the padding of a short clip enters the mean and the variance, so that a clip gets other
    logits in a batch than by itself.

    Args:
        hidden_states: ``(batch, channels, frames)``.
        norm: the layer whose groups, weights and epsilon are used.
        lengths: ``(batch,)``, the real frames of each row, on its left.

    Returns:
        ``(batch, channels, frames)``; the values in the padding are undefined.
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
    """The convolutions of a wav2vec 2.0 family encoder, given the length of each row.

    It takes the place of the encoder's own stack and holds the same layers under the same names.
    The lengths are an argument, and a call keeps no state, so threads may share a model. The output
    of the convolutions passes unchanged, so that the encoder can be called with it.

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
        frames, *weights = self._first_product(waveform)
        step = math.prod(layer.conv.stride[0] for layer in self.conv_layers)
        count = (len(frames) - self._samples(1)) // step + 1
        chunks = []
        for start in range(0, count, CHUNK):
            length = self._samples(min(CHUNK, count - start))
            chunks.append(self._chunk(frames[start * step :][:length], *weights))
        return torch.cat(chunks)

    def _first_product(self, waveform: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the first layer multiplies: ``(num_samples, 1)``; and, where it is normalised over
        time, the weight and bias that do its norm as well."""
        conv, norm = self.conv_layers[0].conv, getattr(self.conv_layers[0], "layer_norm", None)
        waveform = waveform.to(conv.weight.dtype)
        weights = _with_norm(conv, norm, waveform) if isinstance(norm, nn.GroupNorm) else ()
        return waveform[:, None], *weights

    def _convolved(self, conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
        """Convolve ``(frames, channels)`` by one layer."""
        weight = conv.weight.transpose(1, 2).reshape(len(conv.weight), -1)
        return nn.functional.linear(windows_of(conv, frames), weight, conv.bias)

    def _samples(self, frames: int) -> int:
        """How many samples make so many frames."""
        for layer in reversed(self.conv_layers):
            frames = (frames - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        return frames

    def _chunk(self, frames: torch.Tensor, *first: torch.Tensor) -> torch.Tensor:
        """Convolve ``(num_samples, 1)``, the first time by weights that do its norm as well."""
        for index, layer in enumerate(self.conv_layers):
            if index == 0 and first:
                frames = nn.functional.linear(windows_of(layer.conv, frames), *first)
            else:
                frames = self._convolved(layer.conv, frames.to(layer.conv.weight.dtype))
                if hasattr(layer, "layer_norm"):
                    frames = layer.layer_norm(frames)
            frames = layer.activation(frames)
        return frames

    def _convolve(self, hidden_states: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        for layer in self.conv_layers:
            hidden_states = hidden_states.to(layer.conv.weight.dtype)
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


def windows_of(conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
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

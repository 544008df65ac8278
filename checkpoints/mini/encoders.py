"""Speech and text encoders: one way to build, feed and mask whatever ``AutoModel`` knows.

Speech encoders are of two kinds. Those of the wav2vec 2.0 family (HuBERT, wav2vec 2.0, WavLM,
data2vec-audio, UniSpeech) read a waveform through a stack of convolutions. Whisper's encoder reads
a log-mel spectrogram. Both give 50 frames a second.
"""

import inspect
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    MODEL_MAPPING,
    AutoModel,
    PreTrainedConfig,
    PreTrainedModel,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.data2vec.modeling_data2vec_audio import (
    Data2VecAudioPositionalConvEmbedding,
)

from .audio import SAMPLING_RATE
from .configuration_hubert_bert import FRAME, is_whisper

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
                frames, *weights = _in_halves(frames, *weights)
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
                frames = _convolve_frames(layer.conv, frames)
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


def _in_halves(
    waveform: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A float32 product with a waveform ``(num_samples, 1)`` as one in bfloat16.

    A float32 is nearly the sum of two bfloat16 numbers. Of the four products of two such sums,
    that of the lower halves is left out. The bias is a product with one.
    """
    high, low = _halves(waveform)
    frames = torch.cat([high, low, high, torch.ones_like(high)], dim=1)
    weight_high, weight_low = _halves(weight)
    biases = torch.zeros_like(weight_high)
    biases[:, :2] = torch.stack(_halves(bias), dim=1)
    taps = torch.stack([weight_high, weight_high, weight_low, biases], dim=2)
    return frames, taps.flatten(1)


def _halves(exact: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    high = exact.to(torch.bfloat16)
    return high, (exact - high).to(torch.bfloat16)


def _convolve_frames(conv: nn.Conv1d, frames: torch.Tensor) -> torch.Tensor:
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


class MaskedPositionalConv(nn.Module):
    """The positional convolutions of data2vec-audio, with the padding silenced after each.

    There are five in a row, each with a layer norm. Without the mask the padding is zero for the
    first only, and what it then holds leaks into the end of the clip.
    """

    def __init__(self, stock: Data2VecAudioPositionalConvEmbedding) -> None:
        super().__init__()
        self.layers = stock.layers

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return the positions ``(batch, frames, hidden)`` of hidden states of that shape."""
        # The encoder has just set its padding to zero, and no real frame is zero throughout.
        real = (hidden_states != 0).any(dim=-1)[:, None].to(hidden_states.dtype)
        hidden_states = hidden_states.transpose(1, 2)
        for layer in self.layers:
            hidden_states = layer(hidden_states) * real
        return hidden_states.transpose(1, 2)


def max_tokens(config: PreTrainedConfig) -> int | None:
    """Longest transcript that a text encoder can read; ``None`` when there is no limit.

    >>> from transformers import RobertaConfig
    >>> max_tokens(RobertaConfig(max_position_embeddings=514, pad_token_id=1))
    512
    """
    positions = getattr(config, "max_position_embeddings", None) or -1
    if "roberta" in config.model_type:  # counts its positions from the padding token's id on
        positions -= config.pad_token_id + 1
    return positions if positions > 0 else None


def make_speech_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a speech encoder with random weights.

    Raises:
        ValueError: a model that is neither of the wav2vec 2.0 family nor Whisper.
    """
    return _prepare_speech(AutoModel.from_config(config))


def make_text_encoder(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a text encoder with random weights."""
    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    # BERT's pooler is not used, and an unused layer would stop distributed training.
    unused = {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
    return AutoModel.from_config(config, **unused)


def load_speech_encoder(source: str) -> PreTrainedModel:
    """Load a pretrained speech encoder; of Whisper, the decoder may be missing.

    Raises:
        OSError: neither a folder nor reachable on the Hub.
        ValueError: a weight is missing, or not a speech encoder that is known here.
    """
    model, missing = _load(source)
    if is_whisper(model.config):
        missing = [key for key in missing if key.startswith("encoder.")]
    # The vector that stands for masked frames is learnt in tuning.
    _refuse_missing(source, [key for key in missing if key != "masked_spec_embed"])
    return _prepare_speech(model)


def load_text_encoder(source: str) -> PreTrainedModel:
    """Load a pretrained text encoder.

    Raises:
        OSError: neither a folder nor reachable on the Hub.
        ValueError: a weight is missing.
    """
    model, missing = _load(source)
    _refuse_missing(source, [key for key in missing if "pooler" not in key])
    return model


def _load(source: str) -> tuple[PreTrainedModel, list[str]]:
    model, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    return model, sorted(info["missing_keys"])


def _refuse_missing(source: str, missing: list[str]) -> None:
    if missing:
        raise ValueError(
            f"{source}: no weights for {', '.join(missing[:3])} ({len(missing)} in all)"
        )


def _prepare_speech(model: PreTrainedModel) -> PreTrainedModel:
    """Take what is needed of a speech model, and mask what lets padding through."""
    kind = model.config.model_type
    if is_whisper(model.config):
        return model.encoder
    if not hasattr(model, "_get_feature_vector_attention_mask"):
        raise ValueError(f"audio_config: {kind} is neither of the wav2vec 2.0 family nor Whisper")
    if getattr(model.config, "add_adapter", False):
        raise ValueError(f"audio_config: {kind} with add_adapter is not supported")
    model.feature_extractor = MaskedFeatureEncoder(model.feature_extractor)
    positions = model.encoder.pos_conv_embed
    if isinstance(positions, Data2VecAudioPositionalConvEmbedding):
        model.encoder.pos_conv_embed = MaskedPositionalConv(positions)
    return model


def encode_speech(
    encoder: PreTrainedModel, inputs: torch.Tensor, mask: torch.Tensor | None, *, all_layers: bool
) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """Run a speech encoder over the real part of each row.

    Args:
        encoder: made by :func:`make_speech_encoder` or :func:`load_speech_encoder`.
        inputs: waveforms ``(batch, num_samples)``, or spectrograms ``(batch, bands, mel frames)``.
        mask: ``(batch, num_samples)`` or ``(batch, mel frames)``, 1 where real; all when not given.
        all_layers: return the embeddings and the output of every layer, not of the last alone.

    Returns:
        hidden states ``(batch, frames, hidden)``, one or ``num_hidden_layers + 1`` of them, and the
        mask of the real frames, bool ``(batch, frames)``.
    """
    if is_whisper(encoder.config):
        return _encode_spectrograms(encoder, inputs, mask, all_layers=all_layers)
    if mask is None:
        mask = torch.ones_like(inputs, dtype=torch.long)
    features = encoder.feature_extractor(inputs, mask.sum(-1))
    features = features.to(encoder.encoder.layer_norm.weight.dtype)
    outputs = encoder(features, attention_mask=mask, output_hidden_states=all_layers)
    states = outputs.hidden_states if all_layers else (outputs.last_hidden_state,)
    return states, encoder._get_feature_vector_attention_mask(states[0].shape[1], mask)


def _encode_spectrograms(
    encoder: PreTrainedModel, mel: torch.Tensor, mask: torch.Tensor | None, *, all_layers: bool
) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
    """Run Whisper's encoder on the length of the clips; its own ``forward`` insists on 30 s."""
    if mask is None:
        mask = torch.ones_like(mel[:, 0], dtype=torch.long)
    # A convolution reads one frame beyond the end, which is zero for a clip on its own.
    mel = mel.to(encoder.conv1.weight.dtype) * mask[:, None]
    hidden_states = nn.functional.gelu(encoder.conv2(nn.functional.gelu(encoder.conv1(mel))))
    hidden_states = hidden_states.transpose(1, 2)
    hidden_states = hidden_states + encoder.embed_positions.weight[: hidden_states.shape[1]]
    dropout = partial(nn.functional.dropout, p=encoder.dropout, training=encoder.training)
    hidden_states = dropout(hidden_states)
    frames = mask[:, ::2].bool()
    attended = create_bidirectional_mask(
        config=encoder.config, inputs_embeds=hidden_states, attention_mask=frames
    )
    states = [hidden_states]
    for layer in encoder.layers:
        if encoder.training and torch.rand([]) < encoder.layerdrop:
            continue
        hidden_states = layer(hidden_states, attended)
        states.append(hidden_states)
    states[-1] = encoder.layer_norm(states[-1])
    return (states if all_layers else states[-1:]), frames


def encode_text(encoder: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Run a text encoder.

    Args:
        ids: ``(batch, num_tokens)``, padded on the right.
        mask: ``(batch, num_tokens)``, 1 for real tokens, at least one in each row.

    Returns:
        ``(batch, num_tokens, hidden)``.
    """
    # What GPT-2 would keep for the next token is of no use here.
    unused = {"use_cache": False} if hasattr(encoder.config, "use_cache") else {}
    return encoder(ids, attention_mask=mask, **unused).last_hidden_state


def make_feature_extractor(config: PreTrainedConfig) -> Any:
    """Build the feature extractor of a speech encoder that starts from random weights."""
    if is_whisper(config):
        return WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    return Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE, return_attention_mask=True)


def prepare_tokenizer(tokenizer: Any) -> Any:
    """Let a tokenizer pad: GPT-2's has no padding token, and the mask hides which one is used."""
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def audio_inputs(extractor: Any, waveforms: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    """Build one padded batch for a speech encoder.

    Args:
        extractor: a ``Wav2Vec2FeatureExtractor`` or a ``WhisperFeatureExtractor``.
        waveforms: float32 ``(num_samples,)``, mono, 16 kHz.

    Returns:
        ``input_values`` and ``attention_mask`` ``(batch, num_samples)``; or, for Whisper,
        ``input_features`` ``(batch, bands, mel frames)``, as long as the longest clip and not 30 s,
        and ``attention_mask`` ``(batch, mel frames)``.
    """
    waveforms = list(waveforms)
    if "input_features" not in extractor.model_input_names:
        features = extractor(
            waveforms,
            sampling_rate=SAMPLING_RATE,
            padding=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {
            "input_values": features["input_values"],
            "attention_mask": features["attention_mask"].long(),
        }
    lengths = torch.tensor([2 * -(-waveform.size // FRAME) for waveform in waveforms])
    longest = int(lengths.max())
    mel = extractor(
        waveforms,
        sampling_rate=SAMPLING_RATE,
        padding="max_length",
        # With silence after it, the end of the longest clip is like the end of the others.
        max_length=longest * extractor.hop_length + extractor.n_fft,
        truncation=False,
        return_tensors="pt",
    )["input_features"][:, :, :longest]
    mask = (torch.arange(longest) < lengths[:, None]).long()
    return {"input_features": mel * mask[:, None], "attention_mask": mask}

"""Speech and text encoders: one way to build, feed and mask whatever ``AutoModel`` knows.

Speech encoders are of two kinds. Those of the wav2vec 2.0 family (HuBERT, wav2vec 2.0, WavLM,
data2vec-audio) read a waveform through a stack of convolutions. Whisper's encoder reads
a log-mel spectrogram. Both give 50 frames a second.
"""

import inspect
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
from .convolutions import MaskedFeatureEncoder
from .levels import audible


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


def load_encoder(source: str, own: type[PreTrainedModel], part: str) -> PreTrainedModel:
    """Load a pretrained encoder, or that of a custom checkpoint.

    Args:
        source: Hub id or folder.
        own: class of the custom checkpoints.
        part: ``audio_model`` or ``text_model``.

    Raises:
        OSError: neither a folder nor reachable on the Hub.
        ValueError: a weight is missing, or there is no such encoder.
    """
    settings, _ = PreTrainedConfig.get_config_dict(source)
    if settings.get("model_type") != own.config_class.model_type:
        return (load_speech_encoder if part == "audio_model" else load_text_encoder)(source)
    model = own.from_pretrained(source, dtype=torch.float32)
    encoder = getattr(model, part, None)
    if encoder is None:
        raise ValueError(f"{source}: an audio-only model has no text encoder")
    if part == "audio_model":  # its config has the training record, as in a stock checkpoint
        encoder.config.training = model.config.training
    return encoder


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
    model, info = AutoModel.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
    )
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
        all_layers: return the embeddings and the output of every layer, not only of the last.

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
    waveforms = [audible(waveform) for waveform in waveforms]
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

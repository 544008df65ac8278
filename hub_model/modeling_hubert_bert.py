"""HuBERT and BERT, pooled, concatenated and classified (paper, section III-D.2)."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import MODEL_MAPPING, AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from .configuration_hubert_bert import HubertBertConfig


@dataclass
class EmotionOutput(ModelOutput):
    """Output of :class:`HubertBertForEmotion`.

    Args:
        loss: cross-entropy, a scalar; only when labels were given.
        logits: ``(batch, num_labels)``.
        audio_embedding: ``(batch, audio_embedding_size)``, the pooled speech vector.
        text_embedding: ``(batch, text hidden size)``, the pooled text vector; zero where a clip
            has no transcript.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    audio_embedding: torch.Tensor | None = None
    text_embedding: torch.Tensor | None = None


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm whose statistics leave out the padding of a batch.

    HuBERT base normalises the output of its first convolution over time. With the stock layer
    the padding of a short clip enters the mean and the variance, so that a clip gets another
    answer in a batch than alone. ``lengths`` ``(batch,)`` holds the real frames of each row and
    is set by the model before each pass.
    """

    lengths: torch.Tensor | None = None

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Normalise ``(batch, channels, frames)``."""
        if self.lengths is None:
            return super().forward(hidden_states)
        batch, channels, frames = hidden_states.shape
        real = torch.arange(frames, device=hidden_states.device) < self.lengths[:, None]
        real = real[:, None, None, :].to(torch.float32)
        grouped = hidden_states.float().view(
            batch, self.num_groups, channels // self.num_groups, frames
        )
        count = real.sum(dim=(2, 3), keepdim=True) * grouped.shape[2]
        mean = (grouped * real).sum(dim=(2, 3), keepdim=True) / count
        variance = ((grouped - mean) ** 2 * real).sum(dim=(2, 3), keepdim=True) / count
        normal = ((grouped - mean) * torch.rsqrt(variance + self.eps)).view_as(hidden_states)
        normal = normal * self.weight.float()[:, None] + self.bias.float()[:, None]
        return normal.to(hidden_states.dtype)

    @classmethod
    def replace(cls, module: nn.Module) -> None:
        """Put this layer in the place of every ``nn.GroupNorm`` inside ``module``."""
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                masked = cls(child.num_groups, child.num_channels, eps=child.eps)
                masked.load_state_dict(child.state_dict())
                setattr(module, name, masked)
            else:
                cls.replace(child)


def masked_mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average over real positions.

    Args:
        hidden_states: ``(batch, positions, hidden)``.
        mask: ``(batch, positions)``, true or 1 for real positions.

    Returns:
        ``(batch, hidden)``; zero for a row without real positions.
    """
    weights = mask.to(hidden_states.dtype).unsqueeze(-1)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def masked_std(
    hidden_states: torch.Tensor, mask: torch.Tensor, mean: torch.Tensor
) -> torch.Tensor:
    """Standard deviation over real positions; arguments and result as in :func:`masked_mean`."""
    variance = masked_mean((hidden_states - mean.unsqueeze(1)) ** 2, mask)
    # The root has no finite gradient at zero, and a single frame has no deviation.
    return (variance + 1e-8).sqrt()


class HubertBertForEmotion(PreTrainedModel):
    """Emotion from speech and transcript.

    The last hidden states of the speech encoder and of the text encoder are averaged over their
    real frames and tokens, passed through dropout, concatenated, and classified by one linear
    layer. The config may ask for the deviation beside the average, and for all layers of the
    speech encoder. A clip without a transcript gets a zero text vector; in training some
    transcripts are hidden on purpose, so that the audio alone carries an answer.
    """

    config: HubertBertConfig
    config_class = HubertBertConfig
    base_model_prefix = "hubert_bert"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: HubertBertConfig) -> None:
        super().__init__(config)
        self.audio_model = AutoModel.from_config(config.audio_config)
        self.text_model = AutoModel.from_config(
            config.text_config, **_without_pooler(config.text_config)
        )
        MaskedGroupNorm.replace(self.audio_model)
        self.audio_dropout = nn.Dropout(config.audio_dropout)
        self.text_dropout = nn.Dropout(config.text_dropout)
        self.classifier = nn.Linear(
            config.audio_embedding_size + config.text_config.hidden_size, config.num_labels
        )
        if config.use_weighted_layer_sum:
            # The encoder's input and the output of each layer.
            self.layer_weights = nn.Parameter(
                torch.zeros(config.audio_config.num_hidden_layers + 1)
            )
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint as ``transformers`` does, but never with random weights in it.

        Half-precision checkpoints are loaded as float32 unless a ``dtype`` is asked for.

        Raises:
            ValueError: a weight of the model is missing from the checkpoint, has another shape,
                or the checkpoint holds one that the model does not know.
        """
        if kwargs.get("dtype") in (None, "auto"):
            kwargs["dtype"] = torch.float32
        # Otherwise transformers raises on its own, and names the weights only in its log.
        kwargs["ignore_mismatched_sizes"] = True
        wants_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
            if info.get(problem):
                names = sorted(key if isinstance(key, str) else key[0] for key in info[problem])
                raise ValueError(
                    f"{args[0] if args else 'checkpoint'}: {problem.replace('_', ' ')} in the "
                    f"weights: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''} "
                    f"({len(names)} in all); a model with random parts is refused"
                )
        return (model, info) if wants_info else model

    @classmethod
    def from_encoders(
        cls, audio: str | dict[str, Any], text: str | dict[str, Any], **settings: Any
    ) -> "HubertBertForEmotion":
        """Start from pretrained encoders and a new, untrained head.

        Args:
            audio: Hub id or folder of a speech encoder, such as ``facebook/hubert-base-ls960``; or
                the settings of one that starts from random weights.
            text: Hub id or folder of a text encoder, such as ``google-bert/bert-base-uncased``;
                or the settings of one that starts from random weights.
            settings: other arguments of :class:`HubertBertConfig`.

        Raises:
            OSError: one of them is neither a folder nor reachable on the Hub.
            ValueError: a weight that the model uses is missing from an encoder's checkpoint.
        """
        pretrained = {
            name: _load_encoder(source)
            for name, source in (("audio", audio), ("text", text))
            if isinstance(source, str)
        }
        configs = {
            f"{name}_config": pretrained[name].config if name in pretrained else source
            for name, source in (("audio", audio), ("text", text))
        }
        model = cls(HubertBertConfig(**configs, **settings))
        for name, encoder in pretrained.items():
            part = getattr(model, f"{name}_model")
            wanted = part.state_dict()
            weights = {key: value for key, value in encoder.state_dict().items() if key in wanted}
            part.load_state_dict(weights)
        return model

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> EmotionOutput:
        """Classify a batch.

        Args:
            input_values: float ``(batch, num_samples)``, normalised waveforms at 16 kHz, padded
                with zeros on the right; ``None`` to answer from text alone.
            attention_mask: ``(batch, num_samples)``, 1 for real samples; all real when not given.
            input_ids: ``(batch, num_tokens)``; ``None`` to answer from audio alone.
            text_attention_mask: ``(batch, num_tokens)``, 1 for real tokens. A row of zeros says
                that this clip has no transcript.
            labels: ``(batch,)``, ids of the emotions.

        Raises:
            ValueError: neither audio nor text was given.
        """
        if input_values is None and input_ids is None:
            raise ValueError("the model needs audio, text, or both")
        audio = text = None
        if input_values is not None:
            audio = self._embed_audio(input_values, attention_mask)
        if input_ids is not None:
            text, has_text = self._embed_text(input_ids, text_attention_mask)
        if audio is None:
            audio = text.new_zeros(text.shape[0], self.config.audio_embedding_size)
        if text is None:
            text = audio.new_zeros(audio.shape[0], self.config.text_config.hidden_size)
        elif self.training and input_values is not None:
            audio, text = self._drop_modalities(audio, text, has_text)

        features = torch.cat([self.audio_dropout(audio), self.text_dropout(text)], dim=-1)
        logits = self.classifier(features)
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return EmotionOutput(loss=loss, logits=logits, audio_embedding=audio, text_embedding=text)

    def _embed_audio(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        if attention_mask is None:
            attention_mask = torch.ones_like(input_values, dtype=torch.long)
        config = self.config.audio_config
        first_conv = attention_mask.sum(-1) - config.conv_kernel[0]
        first_conv = torch.div(first_conv, config.conv_stride[0], rounding_mode="floor") + 1
        for module in self.audio_model.modules():
            if isinstance(module, MaskedGroupNorm):
                module.lengths = first_conv
        weighted = self.config.use_weighted_layer_sum
        outputs = self.audio_model(
            input_values, attention_mask=attention_mask, output_hidden_states=weighted
        )
        hidden_states = outputs.last_hidden_state
        if weighted:
            shares = self.layer_weights.softmax(-1)
            hidden_states = sum(
                share * layer for share, layer in zip(shares, outputs.hidden_states, strict=True)
            )
        frames = self.audio_model._get_feature_vector_attention_mask(
            hidden_states.shape[1], attention_mask
        )
        mean = masked_mean(hidden_states, frames)
        if self.config.audio_pooling == "mean":
            return mean
        return torch.cat([mean, masked_std(hidden_states, frames, mean)], dim=-1)

    def _embed_text(
        self, input_ids: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if mask is None:
            mask = torch.ones_like(input_ids)
        has_text = mask.sum(-1) > 0
        # A row without any token would make attention divide by zero, so it attends to its
        # padding and its vector is zeroed afterwards.
        attended = torch.where(has_text[:, None], mask, torch.ones_like(mask))
        hidden_states = self.text_model(input_ids, attention_mask=attended).last_hidden_state
        return masked_mean(hidden_states, attended) * has_text[:, None], has_text

    def _drop_modalities(
        self, audio: torch.Tensor, text: torch.Tensor, has_text: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chance = torch.rand(audio.shape[0], 2, device=audio.device)
        keep_text = has_text & (chance[:, 0] >= self.config.text_modality_dropout)
        keep_audio = ~keep_text | (chance[:, 1] >= self.config.audio_modality_dropout)
        return audio * keep_audio[:, None], text * keep_text[:, None]


def _load_encoder(source: str) -> PreTrainedModel:
    encoder, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    # The pooler is not used, and the vector that stands for masked frames is learnt in tuning.
    missing = sorted(
        key for key in info["missing_keys"] if "pooler" not in key and key != "masked_spec_embed"
    )
    if missing:
        raise ValueError(
            f"{source}: no weights for {', '.join(missing[:3])} ({len(missing)} in all)"
        )
    return encoder


def _without_pooler(text_config: Any) -> dict[str, bool]:
    """BERT's pooler is not used, and an unused layer would stop distributed training."""
    parameters = inspect.signature(MODEL_MAPPING[type(text_config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


HubertBertForEmotion.register_for_auto_class("AutoModelForAudioClassification")

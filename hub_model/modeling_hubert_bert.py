"""HuBERT and BERT, pooled, concatenated and classified (paper, section III-D.2)."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import ModelOutput, can_return_tuple, logging

from .configuration_hubert_bert import EMOTIONS, HubertBertConfig
from .encoders import (
    encode_speech,
    encode_text,
    load_encoder,
    make_speech_encoder,
    make_text_encoder,
)
from .loading import HEAD, other_labels, refuse_random_parts
from .tasks import Tasks, check_tasks, task_heads

logger = logging.get_logger(__name__)


@dataclass
class EmotionOutput(ModelOutput):
    """Output of :class:`HubertBertForEmotion`.

    Args:
        loss: cross-entropy, a scalar; only when labels were given.
        logits: ``(batch, num_labels)``.
        audio_embedding: ``(batch, audio_embedding_size)``, the pooled speech vector.
        text_embedding: ``(batch, text_embedding_size)``, the pooled text vector; where a clip has
            no transcript, zero or the learned vector.
        task_outputs: of each further head, ``(batch, labels)`` or ``(batch, 1)``.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    audio_embedding: torch.Tensor | None = None
    text_embedding: torch.Tensor | None = None
    task_outputs: dict[str, torch.Tensor] | None = None


def masked_mean(hidden_states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average over real positions.

    Args:
        hidden_states: ``(batch, positions, hidden)``.
        mask: ``(batch, positions)``, true or 1 for real positions.

    Returns:
        ``(batch, hidden)``; zero for a row without real positions.
    """
    weights = mask.float().unsqueeze(-1)
    return (hidden_states.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def masked_std(hidden_states: torch.Tensor, mask: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Standard deviation over real positions; arguments and result as in :func:`masked_mean`."""
    variance = masked_mean((hidden_states - mean.unsqueeze(1)) ** 2, mask)
    # The root has no finite gradient at zero, and a single frame has no deviation.
    return (variance + 1e-8).sqrt()


class HubertBertForEmotion(PreTrainedModel):
    """Emotion from speech and transcript.

    The last hidden states of the speech encoder and of the text encoder are averaged over their
    real frames and tokens, passed through dropout, concatenated, and classified by one linear
    layer. The config may ask for the deviation beside the average, for all layers of the speech
    encoder, and for standardised vectors. A clip without a transcript gets a zero text vector, or
    a learned one; in training some transcripts are dropped, so that the model also classifies from
    audio only.

    Text without audio may have a linear layer of its own, fitted to texts: what the common layer
    makes of the words is a change of what it makes of a voice.

    A call keeps no state, so threads may share a model.
    """

    config: HubertBertConfig
    config_class = HubertBertConfig
    base_model_prefix = "hubert_bert"
    main_input_name = "input_values"
    supports_gradient_checkpointing = True
    # The loss is a mean over the batch that takes no `num_items_in_batch`.
    accepts_loss_kwargs = False
    # With other labels it is left out.
    _keys_to_ignore_on_load_unexpected = (r"^text_only_classifier\.",)
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: HubertBertConfig) -> None:
        super().__init__(config)
        self.audio_model = make_speech_encoder(config.audio_config)
        if config.use_text:
            self.text_model = make_text_encoder(config.text_config)
            if config.missing_text == "learned":
                self.missing_text = nn.Parameter(torch.zeros(config.text_embedding_size))
        self.audio_dropout = nn.Dropout(config.audio_dropout)
        self.text_dropout = nn.Dropout(config.text_dropout)
        size = config.audio_embedding_size + config.text_embedding_size
        self.classifier = nn.Linear(size, config.num_labels)
        self.text_only_classifier = None
        if config.text_only_classifier:
            self.text_only_classifier = nn.Linear(config.text_embedding_size, config.num_labels)
        self.task_heads = task_heads(config.tasks, size)
        if config.standardize_features:
            self.register_buffer("feature_mean", torch.zeros(size))
            self.register_buffer("feature_std", torch.ones(size))
        if config.use_weighted_layer_sum:
            # The encoder's input and the output of each layer.
            self.layer_weights = nn.Parameter(
                torch.zeros(config.audio_config.num_hidden_layers + 1)
            )
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint as ``transformers`` does, but never with random weights in it.

        Half precision is loaded as float32 unless a ``dtype`` is asked for. With another
        ``id2label``, or another ``num_labels`` and ``ignore_mismatched_sizes=True``, the
        classifier starts anew, with a warning; capitals make no other label.

        Raises:
            ValueError: a weight of the model is missing from the checkpoint, has another shape,
                or the checkpoint holds one that the model does not know; or its labels are the
                seven emotions in another order.
        """
        dtype = kwargs.pop("torch_dtype", None)  # its older name
        kwargs.setdefault("dtype", dtype)
        if kwargs["dtype"] in (None, "auto"):
            kwargs["dtype"] = torch.float32
        new_head = bool(kwargs.get("ignore_mismatched_sizes"))
        # Otherwise transformers raises on its own, and names the weights only in its log.
        kwargs["ignore_mismatched_sizes"] = True
        wants_info = kwargs.pop("output_loading_info", False)
        renamed = other_labels(args[0], kwargs) if args else ()
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        name = str(args[0]) if args else "checkpoint"
        refuse_random_parts(name, info, allowed=HEAD if new_head else ())
        if renamed:
            logger.warning(
                f"{name}: its labels are {', '.join(renamed)}; with others the classifier "
                "starts anew and must be trained. To rename labels, set model.config.id2label "
                "after loading, or use the option labels of the pipeline."
            )
            model.forget_fit()
            # `_init_weights` passes over what was loaded.
            nn.init.normal_(model.classifier.weight, std=0.02)
            nn.init.zeros_(model.classifier.bias)
        labels = [model.config.id2label[index] for index in sorted(model.config.id2label)]
        if sorted(labels) == sorted(EMOTIONS) and tuple(labels) != EMOTIONS:
            raise ValueError(
                f"{name}: the labels are in the order {', '.join(labels)}; every model of these "
                f"emotions has them as {', '.join(EMOTIONS)}"
            )
        return (model, info) if wants_info else model

    @classmethod
    def from_encoders(
        cls, audio: str | dict[str, Any], text: str | dict[str, Any] | None, **settings: Any
    ) -> "HubertBertForEmotion":
        """Start from pretrained encoders and a new, untrained head.

        Args:
            audio: Hub id or folder of a speech encoder, such as ``facebook/hubert-base-ls960``, or
                of a custom checkpoint, whose encoder is taken; or the settings of one that starts
                from random weights.
            text: Hub id or folder of a text encoder, such as ``google-bert/bert-base-uncased``,
                or of a custom checkpoint; or the settings of one that starts from random weights;
                or ``None`` for an audio-only model.
            settings: other arguments of :class:`HubertBertConfig`.

        Raises:
            OSError: one of them is neither a folder nor reachable on the Hub.
            ValueError: a weight that the model uses is missing from an encoder's checkpoint, or
                an encoder of another kind than those of :class:`HubertBertConfig`.

        Example:
            >>> model = HubertBertForEmotion.from_encoders(
            ...     {"model_type": "wavlm", "hidden_size": 32, "num_hidden_layers": 1,
            ...      "num_attention_heads": 2, "intermediate_size": 8, "conv_dim": [8] * 7},
            ...     {"model_type": "distilbert", "dim": 16, "n_layers": 1, "n_heads": 2},
            ... )
            >>> model.classifier
            Linear(in_features=48, out_features=7, bias=True)
        """
        parts = {
            "audio": load_encoder(audio, cls, "audio_model") if isinstance(audio, str) else None,
            "text": load_encoder(text, cls, "text_model") if isinstance(text, str) else None,
        }
        configs = {
            f"{name}_config": given if parts[name] is None else parts[name].config
            for name, given in (("audio", audio), ("text", text))
        }
        model = cls(HubertBertConfig(use_text=text is not None, **configs, **settings))
        for name, encoder in parts.items():
            if encoder is not None:
                part = getattr(model, f"{name}_model")
                wanted = part.state_dict()
                weights = encoder.state_dict()
                part.load_state_dict({key: weights[key] for key in wanted if key in weights})
        return model

    def set_tasks(self, tasks: Tasks | None) -> None:
        """Replace the further heads by new, untrained ones; see :mod:`~hub_model.tasks`."""
        self.config.tasks = check_tasks(tasks)
        self.task_heads = task_heads(self.config.tasks, self.classifier.in_features)
        self.task_heads.apply(self._init_weights)

    @torch.no_grad()
    def set_text_only_classifier(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        """Set the layer for text without audio.

        Args:
            weight: ``(num_labels, text_embedding_size)``.
            bias: ``(num_labels,)``.
        """
        self.text_only_classifier = nn.Linear(weight.shape[1], weight.shape[0])
        self.text_only_classifier.weight.copy_(weight)
        self.text_only_classifier.bias.copy_(bias)
        self.config.text_only_classifier = True

    def forget_fit(self) -> None:
        """Reset what was fitted to other labels or another classifier; training changes both."""
        self.config.forget_fit()
        self.text_only_classifier = None

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write the model with the code of its pipeline, so that ``pipeline`` loads the folder.

        ``Trainer`` saves checkpoints by this method.
        """
        # A relative import, so that transformers fetches this module together with the model's.
        from .pipeline_hubert_bert import SpeechTextEmotionPipeline

        super().save_pretrained(save_directory, **kwargs)
        custom_object_save(SpeechTextEmotionPipeline, save_directory)

    @torch.no_grad()
    def set_feature_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Set what the pooled vectors are standardised with.

        Args:
            mean, std: ``(audio_embedding_size + text_embedding_size,)``, over training clips. A
                deviation near zero, of a constant value, is replaced by 1.

        Raises:
            ValueError: the config does not ask for standardised vectors.
        """
        if not self.config.standardize_features:
            raise ValueError("this model's config has standardize_features=False")
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    @torch.no_grad()
    def folded_classifier(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias ``(num_labels, size)``, ``(num_labels,)`` for vectors as they are."""
        weight, bias = self.classifier.weight.double(), self.classifier.bias.double()
        if self.config.standardize_features:
            weight = weight / self.feature_std
            bias = bias - weight @ self.feature_mean.double()
        return weight.float(), bias.float()

    def freeze_feature_encoder(self) -> None:
        """Train no convolution of the speech encoder (Whisper has two), as in stock classifiers."""
        if hasattr(self.audio_model, "feature_extractor"):
            self.audio_model.feature_extractor._freeze_parameters()
        else:
            self.audio_model.conv1.requires_grad_(False)
            self.audio_model.conv2.requires_grad_(False)

    @can_return_tuple
    def forward(
        self,
        input_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        text_attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> EmotionOutput:
        """Classify a batch.

        Args:
            input_values: float ``(batch, num_samples)``, normalised waveforms at 16 kHz, padded
                with zeros on the right; ``None`` for text-only logits.
            attention_mask: ``(batch, num_samples)``, 1 for real samples, or ``(batch, mel
                frames)``; all real when not given.
            input_ids: ``(batch, num_tokens)``, padded on the right; ``None`` for audio-only logits.
            text_attention_mask: ``(batch, num_tokens)``, 1 for real tokens. A row of zeros says
                that this clip has no transcript.
            labels: ``(batch,)``, ids of the emotions.
            input_features: float ``(batch, bands, mel frames)``, what Whisper's encoder reads in
                place of ``input_values``.

        Raises:
            ValueError: neither audio nor text was given, or text to an audio-only model.
        """
        sound = input_values if input_features is None else input_features
        if sound is None and input_ids is None:
            raise ValueError("the model needs audio, text, or both")
        if input_ids is not None and not self.config.use_text:
            raise ValueError("an audio-only model takes no text")
        if sound is None:
            text, has_text = self._embed_text(input_ids, text_attention_mask)
            audio = text.new_zeros(text.shape[0], self.config.audio_embedding_size)
            has_audio = torch.zeros_like(has_text)
        else:
            audio = self._embed_audio(sound, attention_mask)
            has_audio = torch.ones(audio.shape[0], dtype=torch.bool, device=audio.device)
            if input_ids is None:
                text = audio.new_zeros(audio.shape[0], self.config.text_embedding_size)
                has_text = torch.zeros(audio.shape[0], dtype=torch.bool, device=audio.device)
            else:
                text, has_text = self._embed_text(input_ids, text_attention_mask)
                if self.training:
                    has_audio, has_text = self._drop_modalities(has_text)
                    audio = audio * has_audio[:, None]
        if self.config.use_text:
            missing = self.missing_text if self.config.missing_text == "learned" else 0.0
            text = torch.where(has_text[:, None], text, missing)

        features = torch.cat([audio, text], dim=-1)
        if self.config.standardize_features:
            features = (features.float() - self.feature_mean) / self.feature_std
        # Dropout replaces a value by zero, which is the mean of a standardised one.
        audio_part, text_part = features.split([audio.shape[-1], text.shape[-1]], dim=-1)
        if self.config.standardize_features:  # no audio is the mean as well, not a zero vector
            audio_part = audio_part * has_audio[:, None]
        features = torch.cat([self.audio_dropout(audio_part), self.text_dropout(text_part)], dim=-1)
        if sound is None and self.text_only_classifier is not None:
            logits = _linear(self.text_only_classifier, text)
        else:
            logits = _linear(self.classifier, features)
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        tasks = {name: _linear(head, features) for name, head in self.task_heads.items()}
        return EmotionOutput(loss, logits, audio, text, tasks or None)

    def _embed_audio(
        self, inputs: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        config = self.config
        all_layers = config.use_weighted_layer_sum or config.concatenate_layers
        states, frames = encode_speech(
            self.audio_model, inputs, attention_mask, all_layers=all_layers
        )
        if config.use_weighted_layer_sum:
            shares = self.layer_weights.softmax(-1)
            states = [sum(share * layer for share, layer in zip(shares, states, strict=True))]
        pooled = []
        for layer in states:
            mean = masked_mean(layer, frames)
            pooled.append(mean)
            if config.audio_pooling == "mean_std":
                pooled.append(masked_std(layer, frames, mean))
        return torch.cat(pooled, dim=-1)

    def _embed_text(
        self, input_ids: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if mask is None:
            mask = torch.ones_like(input_ids)
        has_text = mask.sum(-1) > 0
        # A row without any token would make attention divide by zero, so it attends to its
        # padding; its vector is replaced afterwards.
        attended = torch.where(has_text[:, None], mask, torch.ones_like(mask))
        return masked_mean(encode_text(self.text_model, input_ids, attended), attended), has_text

    def _drop_modalities(self, has_text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chance = torch.rand(has_text.shape[0], 2, device=has_text.device)
        keep_text = has_text & (chance[:, 0] >= self.config.text_modality_dropout)
        return ~keep_text | (chance[:, 1] >= self.config.audio_modality_dropout), keep_text


def _linear(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    # A quantised layer has no parameters and takes float32.
    return layer(features.to(next(layer.parameters(), features).dtype))


HubertBertForEmotion.register_for_auto_class("AutoModelForAudioClassification")

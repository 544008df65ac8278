"""Waveforms and transcripts to tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin

from .audio import SAMPLING_RATE


class HubertBertProcessor(ProcessorMixin):
    """The feature extractor of the speech encoder and the tokenizer of the text encoder.

    Args:
        feature_extractor: a ``Wav2Vec2FeatureExtractor`` at 16 kHz (paper, section III-D.1, step 2
            of training: the standardised waveform that HuBERT reads).
        tokenizer: any fast tokenizer with a padding token.
    """

    def __init__(self, feature_extractor=None, tokenizer=None, **kwargs) -> None:
        super().__init__(feature_extractor, tokenizer, **kwargs)

    def __call__(
        self,
        audio: Sequence[np.ndarray] | np.ndarray | None = None,
        text: Sequence[str | None] | str | None = None,
        **kwargs,
    ) -> BatchFeature:
        """Build one padded batch.

        Args:
            audio: waveforms float32 ``(num_samples,)``, mono, 16 kHz, cleaned.
            text: one transcript per waveform; ``None`` or an empty one where there is none.

        Returns:
            ``input_values`` and ``attention_mask`` ``(batch, num_samples)``; ``input_ids`` and
            ``text_attention_mask`` ``(batch, num_tokens)`` when any transcript is given, with a
            row of zeros in the mask for a clip without one.

        Raises:
            ValueError: the numbers of waveforms and of texts differ.
        """
        kwargs.pop("return_tensors", None)
        if kwargs:
            raise TypeError(f"unknown argument: {', '.join(kwargs)}")
        batch: dict[str, torch.Tensor] = {}
        if audio is not None:
            audio = [audio] if isinstance(audio, np.ndarray) and audio.ndim == 1 else list(audio)
            features = self.feature_extractor(
                audio,
                sampling_rate=SAMPLING_RATE,
                padding=True,
                return_attention_mask=True,
                return_tensors="pt",
            )
            batch["input_values"] = features["input_values"]
            batch["attention_mask"] = features["attention_mask"].long()
        texts = [text] if isinstance(text, str) else list(text or [])
        if audio is not None and texts and len(texts) != len(audio):
            raise ValueError(f"{len(texts)} texts for {len(audio)} clips")
        texts = [(entry or "").strip() for entry in texts]
        if any(texts):
            tokens = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            present = torch.tensor([bool(entry) for entry in texts])
            batch["input_ids"] = tokens["input_ids"]
            batch["text_attention_mask"] = tokens["attention_mask"] * present[:, None]
        return BatchFeature(batch)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that the model takes."""
        return ["input_values", "attention_mask", "input_ids", "text_attention_mask"]


HubertBertProcessor.register_for_auto_class()

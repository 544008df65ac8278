"""Waveforms and transcripts to tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin

from .audio import SAMPLING_RATE
from .encoders import audio_inputs, prepare_tokenizer


class HubertBertProcessor(ProcessorMixin):
    """The feature extractor of the speech encoder and the tokenizer of the text encoder.

    Args:
        feature_extractor: a ``Wav2Vec2FeatureExtractor`` at 16 kHz (paper, section III-D.1, step 2
            of training: the standardised waveform that HuBERT reads), or Whisper's.
        tokenizer: any fast tokenizer.
    """

    def __init__(self, feature_extractor=None, tokenizer=None, **kwargs) -> None:
        super().__init__(feature_extractor, prepare_tokenizer(tokenizer), **kwargs)

    def __call__(
        self,
        audio: Sequence[np.ndarray] | np.ndarray | None = None,
        text: Sequence[str | None] | str | None = None,
        *,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        return_tensors: str | None = "pt",
    ) -> BatchFeature:
        """Build one padded batch.

        Args:
            audio: waveforms float32 ``(num_samples,)``, mono, 16 kHz, cleaned.
            text: one transcript per waveform; ``None`` or an empty one where there is none.
            sampling_rate: of the waveforms, which must be 16 kHz.
            padding: ``True`` or ``"longest"``, the only one there is.
            return_tensors: ``"pt"``, or ``"np"`` for arrays.

        Returns:
            the tensors of :func:`~hub_model.encoders.audio_inputs`; ``input_ids`` and
            ``text_attention_mask`` ``(batch, num_tokens)`` when any transcript is given, with a
            row of zeros in the mask for a clip without one.

        Raises:
            ValueError: the numbers of waveforms and of texts differ; another sampling rate,
                padding or kind of tensors.
        """
        if sampling_rate not in (None, SAMPLING_RATE):
            raise ValueError(f"sampling_rate must be {SAMPLING_RATE}, not {sampling_rate}")
        if padding not in (True, "longest") or return_tensors not in (None, "pt", "np"):
            raise ValueError('padding must be True or "longest", and return_tensors "pt" or "np"')
        batch: dict[str, torch.Tensor] = {}
        if audio is not None:
            audio = [audio] if isinstance(audio, np.ndarray) and audio.ndim == 1 else list(audio)
            batch.update(audio_inputs(self.feature_extractor, audio))
        texts = [text] if isinstance(text, str) else list(text or [])
        if audio is not None and texts and len(texts) != len(audio):
            raise ValueError(f"{len(texts)} texts for {len(audio)} clips")
        texts = [(entry or "").strip() for entry in texts]
        if any(texts) and self.tokenizer is not None:
            tokens = self.tokenizer(
                texts, padding=True, padding_side="right", truncation=True, return_tensors="pt"
            )
            present = torch.tensor([bool(entry) for entry in texts])
            batch["input_ids"] = tokens["input_ids"]
            batch["text_attention_mask"] = tokens["attention_mask"] * present[:, None]
        return BatchFeature(batch, tensor_type="np" if return_tensors == "np" else None)

    @property
    def model_input_names(self) -> list[str]:
        """Names of the tensors that the model takes."""
        sound = self.feature_extractor.model_input_names[0]
        return [sound, "attention_mask", "input_ids", "text_attention_mask"]


class AudioOnlyProcessor(HubertBertProcessor):
    """The processor of an audio-only model: it has no tokenizer and ignores texts."""

    tokenizer = None

    def __init__(self, feature_extractor=None, **kwargs) -> None:
        ProcessorMixin.__init__(self, feature_extractor, **kwargs)


HubertBertProcessor.register_for_auto_class()
AudioOnlyProcessor.register_for_auto_class()

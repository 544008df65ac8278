"""The pipeline behind ``pipeline("audio-classification", model=..., trust_remote_code=True)``."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from numbers import Real
from typing import Any

import numpy as np
import torch
from transformers import Pipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import logging

from .audio import SAMPLING_RATE, AudioError, Cleaning, clean_audio, load_audio
from .model_card import write_model_card
from .transcription import TranscriberUnavailable, make_transcriber

logger = logging.get_logger(__name__)

NO_TRANSCRIBER = "no transcriber was asked for"


@dataclass
class _Clip:
    """One row on its way through the pipeline; ``error`` is set when it cannot go on."""

    original: np.ndarray | None = None
    windows: list[np.ndarray] | None = None
    text: str | None = None
    text_source: str | None = None
    note: str | None = None
    error: str | None = None
    logits: torch.Tensor | None = None


class SpeechTextEmotionPipeline(Pipeline):
    """Emotions heard and said in a clip (paper, Figure 6).

    The clip is cleaned as the training clips were, transcribed, and classified from both.

    Args:
        transcriber: ``"none"``; a transformers id or folder of a speech recogniser; or
            ``"openai-whisper:<name or file>"``. That of the model's config when not given. When
            its weights can be found nowhere, the answer comes from the audio alone, which is
            said once.
        language: spoken language, for multilingual recognisers; detected when not given.

    Call it with a path, the bytes of a file, a numpy array at 16 kHz, ``{"array" | "raw",
    "sampling_rate"}``, a datasets ``AudioDecoder`` or row, or Gradio's ``(rate, array)``; or with
    a list, a generator or a data set of these.

    Keyword arguments of a call:
        text: the transcript, if it is known; it wins over the transcriber. An empty one says
            that there is none. For a list of clips, a list of the same length.
        clean: ``False`` when the audio has already been cleaned.
        top_k: how many emotions to return; all seven when not given.
        return_transcript: return a dict with ``emotions``, ``transcript``,
            ``transcript_source``, ``note`` (why there is no transcript) and ``modalities``.
        batch_size: how many clips go through the model at once; the result does not depend on it.

    Returns:
        ``[{"label", "score"}]`` sorted by score. For a list of clips a list of these, in which an
        unusable clip is ``{"error": "one line"}``; for a generator or a data set an iterator.

    Raises:
        AudioError: a single clip cannot be used.

    Example:
        >>> from transformers import pipeline
        >>> recogniser = pipeline(
        ...     "audio-classification", model="checkpoints/mini", trust_remote_code=True,
        ...     transcriber="none",
        ... )
        >>> [sorted(row) for row in recogniser("examples/angry.wav", top_k=1)]
        [['label', 'score']]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    supports_text = True
    """Tells a caller that handles any audio classifier that this one takes ``text``."""

    def __init__(
        self,
        *args: Any,
        transcriber: str | None = None,
        language: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise ValueError("this pipeline needs the model's processor")
        self.cleaning = Cleaning.from_dict(self.model.config.cleaning)
        self.transcriber = make_transcriber(
            transcriber or self.model.config.transcriber, device=self.device, language=language
        )
        self._no_transcript: str | None = None if self.transcriber else NO_TRANSCRIBER

    def _sanitize_parameters(
        self,
        text: str | Sequence[str | None] | None = None,
        clean: bool | None = None,
        top_k: int | None = None,
        return_transcript: bool | None = None,
        **unknown: Any,
    ) -> tuple[dict, dict, dict]:
        if unknown:
            raise TypeError(f"unknown option: {', '.join(unknown)}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        before = {"text": text, "clean": clean}
        after = {"top_k": top_k, "return_transcript": return_transcript}
        return (
            {key: value for key, value in before.items() if value is not None},
            {},
            {key: value for key, value in after.items() if value is not None},
        )

    def __call__(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        num_workers: int | None = None,
        **options: Any,
    ) -> Any:
        """Classify one clip or many; see the class for the arguments."""
        before, _, after = self._sanitize_parameters(**options)
        before = {**self._preprocess_params, **before}
        after = {**self._postprocess_params, **after}
        text = before.pop("text", None)
        batch_size = (self._batch_size or 8) if batch_size is None else batch_size
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        if _is_one_clip(inputs):
            if text is not None and not isinstance(text, str):
                raise ValueError("text of a single clip must be one string")
            row = next(self._rows([inputs], [text], 1, before, after))
            if isinstance(row, dict) and "error" in row:
                raise AudioError(row["error"])
            return row
        if isinstance(text, str) or (text is not None and not hasattr(text, "__iter__")):
            raise ValueError("text of several clips must be a list, one entry a clip")
        if hasattr(text, "__len__") and hasattr(inputs, "__len__") and len(text) != len(inputs):
            raise ValueError(f"{len(text)} texts for {len(inputs)} clips")
        rows = self._rows(inputs, text, batch_size, before, after)
        return list(rows) if isinstance(inputs, list | tuple) else rows

    def _rows(
        self,
        sources: Iterable[Any],
        texts: Iterable[str | None] | None,
        batch_size: int,
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> Iterator[Any]:
        """Yield one result per source, reading only one batch ahead."""
        batch: list[_Clip] = []
        for source, text in zip(
            _each(sources), repeat(None) if texts is None else texts, strict=texts is not None
        ):
            batch.append(self.preprocess(source, text=text, **before))
            if len(batch) == batch_size:
                yield from self._finish(batch, batch_size, after)
                batch = []
        if batch:
            yield from self._finish(batch, batch_size, after)

    def _finish(self, batch: list[_Clip], batch_size: int, after: dict[str, Any]) -> Iterator[Any]:
        usable = [clip for clip in batch if clip.error is None]
        self._transcribe([clip for clip in usable if clip.text is None])
        # Clips of one length pad each other least; the answer does not depend on the order.
        windows = [(clip, window) for clip in usable for window in clip.windows]
        windows.sort(key=lambda pair: pair[1].size)
        for start in range(0, len(windows), batch_size):
            part = windows[start : start + batch_size]
            inputs = self.processor(
                audio=[window for _, window in part], text=[clip.text for clip, _ in part]
            )
            for (clip, _), logits in zip(part, self.forward(dict(inputs)), strict=True):
                share = logits / len(clip.windows)
                clip.logits = share if clip.logits is None else clip.logits + share
        for clip in batch:
            yield self.postprocess(clip, **after)

    def preprocess(self, input_: Any, *, text: str | None = None, clean: bool = True) -> _Clip:
        """Load and clean one clip; what is wrong with it is kept, not raised."""
        if text is not None and not isinstance(text, str):
            raise ValueError(f"a text must be a string or None, not {type(text).__name__}")
        try:
            original = load_audio(_unwrap(input_))
        except AudioError as error:
            return _Clip(error=str(error))
        waveform = clean_audio(original, self.cleaning) if clean else original
        windows = math.ceil(waveform.size / (self.model.config.window_s * SAMPLING_RATE))
        return _Clip(
            original=original,
            windows=np.array_split(waveform, windows),
            text=None if text is None else text.strip(),
            text_source=None if text is None else "given",
        )

    def _transcribe(self, clips: list[_Clip]) -> None:
        if clips and self._no_transcript is None:
            try:
                self.transcriber.load()
            except TranscriberUnavailable as error:
                self._no_transcript = str(error)
                logger.warning(f"Answering from audio alone. {error}")
        if self._no_transcript is not None:
            for clip in clips:
                clip.note = self._no_transcript
        elif clips:
            texts = self.transcriber.transcribe([clip.original for clip in clips])
            for clip, text in zip(clips, texts, strict=True):
                clip.text, clip.text_source = text, self.transcriber.name

    def _forward(self, model_inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        model_inputs["input_values"] = model_inputs["input_values"].to(self.model.dtype)
        return self.model(**model_inputs).logits.float()

    def postprocess(
        self, clip: _Clip, *, top_k: int | None = None, return_transcript: bool = False
    ) -> Any:
        """Turn the logits ``(num_labels,)`` of a clip into labels and probabilities."""
        if clip.error is not None:
            return {"error": clip.error}
        scores = (clip.logits / self.model.config.temperature).softmax(-1).tolist()
        labels = self.model.config.id2label
        emotions = [{"label": labels[i], "score": score} for i, score in enumerate(scores)]
        emotions = sorted(emotions, key=lambda row: row["score"], reverse=True)[:top_k]
        if not return_transcript:
            return emotions
        note = clip.note
        if not clip.text and note is None:
            note = "no words were given" if clip.text_source == "given" else "no words were heard"
        return {
            "emotions": emotions,
            "transcript": clip.text or None,
            "transcript_source": clip.text_source,
            "note": note,
            "modalities": ["audio", "text"] if clip.text else ["audio"],
        }

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Write a folder that works alone: weights, code, tokenizer, feature extractor, card."""
        os.makedirs(save_directory, exist_ok=True)
        custom_object_save(self, save_directory)
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory)
        self.processor.feature_extractor.save_pretrained(save_directory)
        write_model_card(self.model.config, save_directory)


def _is_one_clip(inputs: Any) -> bool:
    if isinstance(
        inputs,
        str | os.PathLike | bytes | bytearray | memoryview | dict | np.ndarray | torch.Tensor,
    ):
        return True
    if hasattr(inputs, "get_all_samples"):
        return True
    if isinstance(inputs, tuple) and len(inputs) == 2 and np.isscalar(inputs[0]):
        return not isinstance(inputs[0], str)
    return not (hasattr(inputs, "__iter__") or hasattr(inputs, "__getitem__")) or (
        isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], Real)
    )


def _each(sources: Any) -> Iterator[Any]:
    """Iterate over a list, a generator, or a data set that only knows its items by number."""
    if hasattr(sources, "__iter__"):
        yield from sources
    else:
        for index in range(len(sources)):
            yield sources[index]


def _unwrap(source: Any) -> Any:
    """A row of a data set holds the clip under ``audio``."""
    if isinstance(source, dict) and "audio" in source:
        return source["audio"]
    return source

"""From clips to logits: transcribe, then classify in batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

from .batching import padded_batches
from .inputs import Clip
from .transcript import Transcriber, TranscriberUnavailable

logger = logging.get_logger(__name__)


class ClipScorer:
    """Fills in the transcripts and logits of clips.

    Args:
        processor: of the model.
        forward: the model's inputs to logits ``(batch, num_labels)`` on the CPU.
        transcriber: for clips without a text.
        no_transcript: why there is no transcriber.
    """

    def __init__(
        self,
        processor: Any,
        forward: Callable[[dict[str, torch.Tensor]], torch.Tensor],
        transcriber: Transcriber | None,
        no_transcript: str | None,
    ) -> None:
        self._processor, self._forward = processor, forward
        self._transcriber, self._no_transcript = transcriber, no_transcript

    def score(self, clips: Sequence[Clip], *, batch_size: int, alone: Sequence[str] = ()) -> None:
        """Transcribe and classify; clips that carry an error are left as they are.

        Args:
            clips: in any order.
            batch_size: most clips in a batch.
            alone: ``audio``, ``text`` or both: what is asked for on its own as well.
        """
        usable = [clip for clip in clips if clip.error is None]
        self._transcribe([clip for clip in usable if clip.text is None], batch_size)
        stretches = [(clip, stretch) for clip in usable for stretch in clip.stretches]
        sizes = [stretch.size for _, stretch in stretches]
        for part in padded_batches(sizes, batch_size=batch_size):
            members = [stretches[place][0] for place in part]
            audio = [stretches[place][1] for place in part]
            logits = self._logits(audio, [clip.text for clip in members], alone)
            for clip, row in zip(members, logits, strict=True):
                clip.add(row)

    def _logits(
        self, audio: list[np.ndarray], texts: list[str | None], alone: Sequence[str]
    ) -> list[dict[str, torch.Tensor]]:
        fused = self._forward(dict(self._processor(audio=audio, text=texts)))
        rows = [{"fused": row} for row in fused]
        spoken = [place for place, text in enumerate(texts) if text]
        if "audio" in alone:
            heard = self._forward(dict(self._processor(audio=audio))) if spoken else fused
            for row, logits in zip(rows, heard, strict=True):
                row["audio"] = logits
        if "text" in alone and spoken:
            said = self._forward(dict(self._processor(text=[texts[place] for place in spoken])))
            for place, logits in zip(spoken, said, strict=True):
                rows[place]["text"] = logits
        return rows

    def _transcribe(self, clips: list[Clip], batch_size: int) -> None:
        if self._no_transcript is None:
            try:
                self._ask(clips, batch_size)
            except TranscriberUnavailable as error:
                self._no_transcript = str(error)
                logger.warning(f"Answering from audio alone. {error}")
        for clip in clips:
            if clip.text is None and clip.note is None:
                clip.note = self._no_transcript

    def _ask(self, clips: list[Clip], batch_size: int) -> None:
        if clips:
            self._transcriber.load()
        for start in range(0, len(clips), batch_size):
            part = clips[start : start + batch_size]
            heard = self._transcriber.transcribe([clip.original for clip in part])
            for clip, transcript in zip(part, heard, strict=True):
                clip.hear(transcript, self._transcriber.name)

"""From clips to logits: transcribe, then classify in batches of similar length."""

import ctypes
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .audio import SAMPLING_RATE
from .inputs import TASK, Clip
from .transcript import NO_WORD_TIMES, Transcriber, TranscriberUnavailable

logger = logging.getLogger(__name__)

PADDED_SECONDS = 120
"""Most audio in a batch, its padding included: what decides over memory and time."""


class ClipScorer:
    """Sets the transcripts and logits of clips.

    Args:
        processor: of the model.
        forward: the processor's output to logits, float32 ``(batch, num_labels)``, and the outputs
            of further heads, by name.
        transcriber: for clips without a text.
        no_transcript: reason for a missing transcriber.
    """

    def __init__(
        self,
        processor: Any,
        forward: Callable[[dict[str, Any]], tuple[np.ndarray, dict[str, np.ndarray]]],
        transcriber: Transcriber | None,
        no_transcript: str | None,
    ) -> None:
        self._processor, self._forward = processor, forward
        self._transcriber, self._no_transcript = transcriber, no_transcript

    def score(
        self, clips: Sequence[Clip], *, batch_size: int, separate: Sequence[str] = ()
    ) -> None:
        """Transcribe and classify; clips that carry an error are left as they are.

        Args:
            clips: in any order.
            batch_size: most clips in a batch.
            separate: modalities that are also scored separately: ``audio``, ``text`` or both.
        """
        usable = [clip for clip in clips if clip.error is None]
        self._transcribe([clip for clip in usable if clip.text is None], batch_size)
        chunks = [(clip, chunk) for clip in usable for chunk in clip.chunks or ()]
        sizes = [chunk.size for _, chunk in chunks]
        for part in padded_batches(sizes, batch_size=batch_size):
            members = [chunks[place][0] for place in part]
            audio = [chunks[place][1] for place in part]
            logits = self._logits(audio, [clip.text for clip in members], separate)
            for clip, row in zip(members, logits, strict=True):
                clip.add_logits(row)

    def _logits(
        self, audio: list[np.ndarray], texts: list[str | None], separate: Sequence[str]
    ) -> list[dict[str, np.ndarray]]:
        fused, tasks = self._forward(dict(self._processor(audio=audio, text=texts)))
        rows = [{"fused": row} for row in fused]
        for name, outputs in tasks.items():
            for row, output in zip(rows, outputs, strict=True):
                row[TASK + name] = output
        with_text = [place for place, text in enumerate(texts) if text]
        if "audio" in separate:
            audio_only = fused
            if with_text:
                audio_only, _ = self._forward(dict(self._processor(audio=audio)))
            for row, logits in zip(rows, audio_only, strict=True):
                row["audio"] = logits
        if "text" in separate and with_text:
            text_only, _ = self._forward(
                dict(self._processor(text=[texts[place] for place in with_text]))
            )
            for place, logits in zip(with_text, text_only, strict=True):
                rows[place]["text"] = logits
        return rows

    def loaded(self) -> Transcriber | None:
        """The transcriber with its weights; ``None`` when there is none."""
        try:
            if self._transcriber is not None and self._no_transcript is None:
                self._transcriber.load()
                return self._transcriber
        except TranscriberUnavailable as error:
            self._give_up(error)
        return None

    def _give_up(self, error: TranscriberUnavailable) -> None:
        self._no_transcript = str(error)
        logger.warning(f"Classifying from audio only. {error}")

    def _transcribe(self, clips: list[Clip], batch_size: int) -> None:
        transcriber = self.loaded() if clips else None
        if transcriber is not None:
            try:
                self._run_transcriber(transcriber, clips, batch_size)
            except TranscriberUnavailable as error:  # of one that is loaded when it is needed
                self._give_up(error)
        for clip in clips:
            if clip.text is None and clip.note is None:
                clip.note = self._no_transcript

    def _run_transcriber(
        self, transcriber: Transcriber, clips: list[Clip], batch_size: int
    ) -> None:
        for clip in clips:
            if clip.chunks is None and clip.original is not None:
                found = transcriber.transcribe_words(clip.original)
                if found is None:
                    clip.note = NO_WORD_TIMES
                else:
                    clip.words = found.words
                    clip.set_transcript(found, transcriber.name)
        clips = [clip for clip in clips if clip.chunks is not None]
        for start in range(0, len(clips), batch_size):
            part = clips[start : start + batch_size]
            waveforms = [clip.original for clip in part if clip.original is not None]
            transcripts = transcriber.transcribe(waveforms)
            for clip, transcript in zip(part, transcripts, strict=True):
                clip.set_transcript(transcript, transcriber.name)


def padded_batches(
    sizes: Sequence[int], *, batch_size: int, padded_seconds: float = PADDED_SECONDS
) -> list[list[int]]:
    """Put clips of about one length together.

    Args:
        sizes: samples at 16 kHz of every clip.
        batch_size: most clips in a batch.
        padded_seconds: most seconds in a batch, every clip counted as long as its longest; a
            longer clip is a batch of its own.

    Returns:
        the places of the clips in ``sizes``, batch by batch, shortest first.

    >>> padded_batches([32000, 16000, 48000, 16000], batch_size=3, padded_seconds=4)
    [[1, 3], [0], [2]]
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        full = not batches or len(batches[-1]) == batch_size
        if full or (len(batches[-1]) + 1) * sizes[place] > padded_seconds * SAMPLING_RATE:
            batches.append([])
        batches[-1].append(place)
    return batches


@functools.cache
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None  # another C library than glibc


def return_freed_memory() -> None:
    """Give what has been freed back to the system, where the C library keeps it.

    Tensors of ever other lengths leave holes in glibc's heap that no later one fits, so that the
    memory of a process grows although it holds no more than before.
    """
    trim = _trim()
    if trim is not None:
        trim(0)

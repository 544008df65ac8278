"""The inputs that the pipeline takes, and the clip that it makes of each."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from .audio import SAMPLING_RATE, AudioError, Cleaning, clean_audio, decode
from .decoding import one_line_name
from .speech_activity import is_noise
from .transcript import Transcript, Word, text_of
from .workers import in_processes

PREPARED = 8
"""Prepared clips that are held for each worker process."""

TASK = "task "
"""Before the name of a further head, in the logits of a clip."""

Tasks = Mapping[str, Mapping[str, Any]]
"""Further heads: ``{"labels": [...]}``, or ``{"mean", "std"}`` of a number in the training data."""


@dataclass
class Clip:
    """A clip between the steps of the pipeline; ``error`` says why it cannot be used.

    Attributes:
        original: float32 ``(num_samples,)`` at 16 kHz, for the transcriber.
        chunks: the cleaned clip in equal parts, each of which goes through the model at once;
            ``None`` for speech that is only transcribed, with the times of its words.
        text: its transcript. text_source: ``given``, or the name of the transcriber.
        text_confidence: of the transcriber, 0 to 1.
        note: why there is no transcript.
        file_notes: what is unusual about the file.
        words: of such speech; ``None`` when the transcriber gives no times.
        logits: float32 ``(num_labels,)`` by modality: ``fused``, ``audio``, ``text``; and the
            output of each further head by :data:`TASK` and its name.
    """

    original: np.ndarray | None = None
    chunks: list[np.ndarray] | None = None
    text: str | None = None
    text_source: str | None = None
    text_confidence: float | None = None
    note: str | None = None
    file_notes: Sequence[str] = ()
    error: str | None = None
    words: Sequence[Word] | None = None
    logits: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length before cleaning; 0 for a clip that cannot be used."""
        return 0.0 if self.original is None else self.original.size / SAMPLING_RATE

    def set_text(self, text: str) -> None:
        """Set the transcript that the user gave."""
        self.text, self.text_source = text.strip(), "given"
        self.note = None if self.text else "no words were given"

    def set_transcript(self, transcript: Transcript, source: str) -> None:
        """Set the output of a transcriber."""
        if transcript.error is not None:
            self.note = transcript.error
            return
        self.text, self.text_source = transcript.text.strip(), source
        self.text_confidence = transcript.confidence
        self.note = None if self.text else "no words were recognised"

    def set_words(self, words: Sequence[Word], source: str) -> None:
        """Set the words that the transcriber of the whole recording found in this clip."""
        confidence = _mean(word.confidence for word in words)
        self.set_transcript(Transcript(text_of(words), confidence), source)

    @property
    def tasks(self) -> dict[str, np.ndarray]:
        """The outputs of further heads, by name."""
        found = ((name.removeprefix(TASK), name) for name in self.logits if name.startswith(TASK))
        return {name: self.logits[key] for name, key in found}

    def add_logits(self, logits: dict[str, np.ndarray]) -> None:
        """Add the logits of one chunk to their mean over all chunks."""
        assert self.chunks is not None
        for name, row in logits.items():
            share = row / len(self.chunks)
            self.logits[name] = self.logits[name] + share if name in self.logits else share

    def forget_audio(self) -> None:
        """Free the memory of the samples."""
        self.original = self.chunks = None


def mean_clip(clips: Sequence[Clip]) -> Clip:
    """One clip for all windows of a recording: the mean of their logits, without a transcript."""
    spoken = [clip for clip in clips if clip.text]
    first = spoken[0] if spoken else clips[0]
    rows: dict[str, list[np.ndarray]] = {}
    for clip in clips:
        for name, logits in clip.logits.items():
            rows.setdefault(name, []).append(logits)
    return Clip(
        text_source=first.text_source,
        text_confidence=_mean(clip.text_confidence for clip in spoken),
        note=first.note,
        logits={name: np.mean(logits, axis=0) for name, logits in rows.items()},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class Preparation:
    """Decoding and cleaning of a clip, without weights, so that it runs in any process.

    Args:
        cleaning: of the model's config.
        window_s: longest chunk in seconds that goes through the model at once.
        clean: whether to clean at all.
        check_speech: whether a clip without speech is refused.
    """

    cleaning: Cleaning
    window_s: float
    clean: bool = True
    check_speech: bool = True

    def __call__(self, source: Any) -> Clip:
        """Decode, check and clean; an error is kept in the clip, not raised."""
        try:
            original, notes = decode(unwrap(source))
        except AudioError as error:
            return Clip(error=str(error))
        if self.check_speech and is_noise(original):
            found = unwrap(source)
            path = found.get("path") if isinstance(found, dict) else found
            name = path if isinstance(path, str | os.PathLike) else "audio"
            return Clip(error=f"{one_line_name(name)}: no speech was found, only noise")
        clip = self.of(original)
        clip.file_notes = notes
        return clip

    def of(self, original: np.ndarray) -> Clip:
        """Clean a waveform (float32 ``(num_samples,)``, 16 kHz) and cut it into chunks."""
        waveform = clean_audio(original, self.cleaning) if self.clean else original
        parts = math.ceil(waveform.size / (self.window_s * SAMPLING_RATE))
        return Clip(original=original, chunks=np.array_split(waveform, parts))


def prepared(sources: Any, prepare: Preparation, *, workers: int) -> Iterator[Clip]:
    """Prepare clips in order; in processes where there are workers and the clips have numbers."""
    if workers and has_numbers(sources):
        produce = partial(_every_nth, sources, prepare)
        yield from in_processes(produce, workers, ahead=PREPARED)
    else:
        yield from map(prepare, each(sources))


def _every_nth(sources: Any, prepare: Preparation, first: int, step: int) -> Iterator[Clip]:
    for place in range(first, len(sources), step):
        yield prepare(sources[place])


def has_numbers(sources: Any) -> bool:
    """Whether there are so many clips, and each can be read by its number."""
    return hasattr(sources, "__getitem__") and hasattr(sources, "__len__")


def as_list(inputs: Any) -> Any:
    """A list in place of a column of pandas, whose index is not its order, or an array of names."""
    if hasattr(inputs, "iloc") and hasattr(inputs, "tolist"):
        return inputs.tolist()
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind in "OUST":
        return inputs.tolist()
    return inputs


def is_one_clip(inputs: Any) -> bool:
    """Whether this is one clip, and not a collection of clips."""
    if hasattr(inputs, "read"):
        return True
    if isinstance(inputs, str | os.PathLike | bytes | bytearray | memoryview | dict | np.ndarray):
        return True
    if hasattr(inputs, "get_all_samples") or hasattr(inputs, "detach"):  # a decoder, a tensor
        return True
    if isinstance(inputs, tuple) and len(inputs) == 2:  # a rate and an array, in either order
        scalars = [np.isscalar(part) and not isinstance(part, str | bytes) for part in inputs]
        if scalars[0] != scalars[1]:
            return True
    return not (hasattr(inputs, "__iter__") or hasattr(inputs, "__getitem__")) or (
        isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], Real)
    )


def each(sources: Any) -> Iterable[Any]:
    """Iterate over a list, a generator, or a data set that only knows its items by number."""
    if hasattr(sources, "__iter__"):
        yield from sources
    else:
        for index in range(len(sources)):
            yield sources[index]


def unwrap(source: Any) -> Any:
    """A row of a data set holds the clip under ``audio``."""
    if isinstance(source, dict) and "audio" in source:
        return source["audio"]
    return source


def check_texts(text: Any, inputs: Any) -> None:
    """Raise ``ValueError`` when the texts of several clips are not as many as the clips."""
    if isinstance(text, str) or (text is not None and not hasattr(text, "__iter__")):
        raise ValueError("text of several clips must be a list, one entry a clip")
    if hasattr(text, "__len__") and hasattr(inputs, "__len__") and len(text) != len(inputs):
        raise ValueError(f"{len(text)} texts for {len(inputs)} clips")

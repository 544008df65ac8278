"""Transcribers of the packages openai-whisper and faster-whisper, each an optional extra.

transformers refuses code from the Hub whose `import` lines name packages that are not installed,
unless they stand inside `try`; hence `import_module`.
"""

import copy
import dataclasses
import importlib
import logging
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.constants import is_offline_mode

from .audio import SAMPLING_RATE
from .configuration_hubert_bert import FRAME
from .transcript import (
    CHUNK_S,
    TEMPERATURES,
    ModelTranscriber,
    TranscriberUnavailable,
    Transcript,
    Word,
    most_tokens,
    no_hub,
    one_line,
    sensible,
)

CONTEXT_STEP = 125
"""A short context is a multiple of so many frames (2.5 s), so that clips of about one length share
a batch, and a clip gets the same context whatever else is in it."""


class OpenAIWhisperTranscriber(ModelTranscriber):
    """A model of the openai-whisper package: a name such as ``"base.en"`` or a ``.pt`` file."""

    prefix = "openai-whisper:"

    def _load(self) -> Any:
        try:
            import whisper
        except ImportError as error:
            raise TranscriberUnavailable(f"{self.name}: openai-whisper is not installed") from error
        if not Path(self._source).is_file():
            url = whisper._MODELS.get(self._source)
            if url is None:
                known = ", ".join(whisper.available_models())
                raise TranscriberUnavailable(f"{self.name}: neither a file nor one of {known}")
            cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
            if is_offline_mode() and not (cache / Path(url).name).is_file():
                raise TranscriberUnavailable(f"{self.name}: not in Whisper's cache, and offline")
        try:
            return whisper.load_model(self._source, device=str(self._device))
        except Exception as error:  # a file that is no checkpoint fails in many ways
            raise TranscriberUnavailable(f"{self.name}: {one_line(error)}") from error

    def _is_multilingual(self, loaded: Any) -> bool:
        return loaded.is_multilingual

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        context = None if self._short_context else self._loaded.dims.n_audio_ctx
        return in_batches(waveforms, context, short=self._read_short, long=self._read_long)

    def transcribe_words(self, speech: np.ndarray) -> Transcript:
        """Transcribe with the times of the words."""
        self.load()
        most = most_tokens([speech], self._loaded.dims.n_text_ctx // 2)
        options = {"word_timestamps": True, "condition_on_previous_text": False}
        return self._read_long(speech, most=most, sample_len=most, **options)

    def _read_short(self, waveforms: Sequence[np.ndarray], context: int) -> list[Transcript]:
        whisper = importlib.import_module("whisper")
        model = self._loaded
        spectrograms = [
            whisper.log_mel_spectrogram(whisper.pad_or_trim(waveform), model.dims.n_mels)
            for waveform in waveforms
        ]
        batch = torch.stack(spectrograms).to(model.device)[:, :, : 2 * context]
        most = most_tokens(waveforms, model.dims.n_text_ctx // 2)
        options = whisper.DecodingOptions(
            task="transcribe",
            # An English-only model has no language to detect, and fails when asked to.
            language=self._language if model.is_multilingual else "en",
            without_timestamps=True,
            fp16=False,
            sample_len=most,
        )
        if context != model.dims.n_audio_ctx:
            model = _with_context(model, context)
        return [
            sensible(
                Transcript(result.text.strip(), math.exp(result.avg_logprob)),
                is_cut=len(result.tokens) >= most,
            )
            for result in whisper.decode(model, batch, options)
        ]

    def _read_long(
        self, waveform: np.ndarray, *, most: float = math.inf, **options: Any
    ) -> Transcript:
        with seeded(self._loaded.device):
            result = self._loaded.transcribe(
                waveform, task="transcribe", language=self._language, fp16=False, **options
            )
        return _joined(result["segments"], most)


class FasterWhisperTranscriber(ModelTranscriber):
    """A model of the faster-whisper package, in the format of CTranslate2: a name such as
    ``"base.en"``, a Hub id or a folder.

    Raises:
        ValueError: ``short_context``, which the package does not have.
    """

    prefix = "faster-whisper:"

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        if self._short_context:
            raise ValueError(f"{self.name}: faster-whisper has no short context")

    def _load(self) -> Any:
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise TranscriberUnavailable(f"{self.name}: faster-whisper is not installed") from error
        # A model of half-precision weights is read in single precision on a CPU, with a warning.
        ctranslate2.set_log_level(logging.ERROR)
        why = None if Path(self._source).is_dir() else no_hub()
        device = torch.device(self._device)
        try:
            return WhisperModel(
                self._source,
                device=device.type,
                device_index=device.index or 0,
                cpu_threads=torch.get_num_threads(),
                local_files_only=why is not None,
            )
        except Exception as error:  # a folder that is no model fails in many ways
            reason = f"not in the cache, and {why}" if why else one_line(error)
            raise TranscriberUnavailable(f"{self.name}: {reason}") from error

    def _is_multilingual(self, loaded: Any) -> bool:
        return loaded.model.is_multilingual

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clip by clip."""
        self.load()
        return [self._read(waveform, without_timestamps=True) for waveform in waveforms]

    def transcribe_words(self, speech: np.ndarray) -> Transcript:
        """Transcribe with the times of the words."""
        self.load()
        return self._read(speech, word_timestamps=True)

    def _read(self, waveform: np.ndarray, **options: Any) -> Transcript:
        importlib.import_module("ctranslate2").set_random_seed(0)
        most = most_tokens([waveform], self._loaded.max_length // 2)
        segments, _ = self._loaded.transcribe(
            waveform,
            task="transcribe",
            language=self._language,
            temperature=TEMPERATURES,
            condition_on_previous_text=False,
            max_new_tokens=most,
            **options,
        )
        return _joined(map(dataclasses.asdict, segments), most)


@contextmanager
def seeded(device: torch.device) -> Iterator[None]:
    """Make text reproducible: Whisper draws tokens at random where decoding is difficult."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def in_batches(
    waveforms: Sequence[np.ndarray],
    context: int | None,
    *,
    short: Callable[[list[np.ndarray], int], list[Transcript]],
    long: Callable[[np.ndarray], Transcript],
) -> list[Transcript]:
    """Transcribe with Whisper; clips of up to 30 s that get the same context share a batch.

    Args:
        context: of every clip, in frames; chosen by its length when not given.
        short: transcribes a batch with this context.
        long: transcribes a longer clip; spectrograms that differ in length cannot share a batch.
    """
    window = CHUNK_S * SAMPLING_RATE
    groups: dict[int | None, list[int]] = defaultdict(list)
    for index, waveform in enumerate(waveforms):
        steps = math.ceil(waveform.size / FRAME / CONTEXT_STEP)
        frames = context or min(steps * CONTEXT_STEP, window // FRAME)
        groups[None if waveform.size > window else frames].append(index)
    found: dict[int, Transcript] = {}
    for shared, members in groups.items():
        clips = [waveforms[i] for i in members]
        read = [long(clip) for clip in clips] if shared is None else short(clips, shared)
        found |= dict(zip(members, read, strict=True))
    return [found[i] for i in range(len(waveforms))]


def _joined(segments: Iterable[dict[str, Any]], most: float) -> Transcript:
    """One transcript of the segments of a result; both packages name their parts alike.

    Args:
        most: tokens at which it was cut.
    """
    parts = list(segments)
    text = "".join(part["text"] for part in parts).strip()
    tokens = sum(len(part["tokens"]) for part in parts)
    if not tokens:
        return Transcript(text)
    logprob = sum(part["avg_logprob"] * len(part["tokens"]) for part in parts) / tokens
    words = tuple(
        Word(float(word["start"]), float(word["end"]), word["word"], float(word["probability"]))
        for part in parts
        for word in part.get("words") or ()
    )
    return sensible(Transcript(text, math.exp(logprob), words=words), is_cut=tokens >= most)


def _with_context(model: Any, frames: int) -> Any:
    """Return an openai-whisper model that shares all weights, but encodes so many frames."""
    short = copy.copy(model)
    short.dims = dataclasses.replace(model.dims, n_audio_ctx=frames)
    encoder = copy.copy(model.encoder)
    encoder._buffers = {
        **encoder._buffers,
        "positional_embedding": encoder.positional_embedding[:frames],
    }
    short._modules = {**model._modules, "encoder": encoder}
    return short

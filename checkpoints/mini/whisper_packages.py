"""Transcribers of the packages openai-whisper and faster-whisper, each an optional extra."""

import copy
import dataclasses
import logging
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
    TranscriberUnavailable,
    Transcript,
    Word,
    most_tokens,
    no_hub,
    one_line,
    refuse_language,
    sensible,
)

OPENAI_PREFIX, FASTER_PREFIX = "openai-whisper:", "faster-whisper:"

CONTEXT_STEP = 125
"""A short context is a multiple of so many frames (2.5 s), so that clips of about one length share
a batch, and a clip gets the same context whatever else is in it."""


class OpenAIWhisperTranscriber:
    """A model of the openai-whisper package.

    Args:
        model: a name such as ``"base.en"`` or the path of a ``.pt`` file.
        device: torch device.
        language: spoken language for multilingual models; detected when not given.
        short_context: see :func:`~hub_model.transcription.make_transcriber`.
    """

    def __init__(
        self,
        model: str,
        *,
        device: Any = "cpu",
        language: str | None = None,
        short_context: bool = False,
    ) -> None:
        self.name = OPENAI_PREFIX + model
        self._model_name = model
        self._device = device
        self._language = language
        self._short_context = short_context
        self._package: Any = None
        self._model: Any = None

    def load(self) -> None:
        """Load the file, the copy in Whisper's cache, or download it when online."""
        if self._model is not None:
            return
        try:
            import whisper
        except ImportError as error:
            raise TranscriberUnavailable(f"{self.name}: openai-whisper is not installed") from error
        if not Path(self._model_name).is_file():
            url = whisper._MODELS.get(self._model_name)
            if url is None:
                known = ", ".join(whisper.available_models())
                raise TranscriberUnavailable(f"{self.name}: neither a file nor one of {known}")
            cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
            if is_offline_mode() and not (cache / Path(url).name).is_file():
                raise TranscriberUnavailable(f"{self.name}: not in Whisper's cache, and offline")
        try:
            model = whisper.load_model(self._model_name, device=str(self._device))
        except Exception as error:  # a file that is no checkpoint fails in many ways
            raise TranscriberUnavailable(f"{self.name}: {one_line(error)}") from error
        if not model.is_multilingual:
            refuse_language(self.name, self._language)
        self._package, self._model = whisper, model

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        whisper, found = self._package, dict[int, Transcript]()
        full = self._model.dims.n_audio_ctx
        for context, members in by_context(waveforms, full if not self._short_context else None):
            if context is None:
                found |= {i: self._read(waveforms[i]) for i in members}
                continue
            spectrograms = [
                whisper.log_mel_spectrogram(
                    whisper.pad_or_trim(waveforms[i]), self._model.dims.n_mels
                )
                for i in members
            ]
            batch = torch.stack(spectrograms).to(self._model.device)[:, :, : 2 * context]
            model = self._model if context == full else _with_context(self._model, context)
            # An English-only model has no language to detect, and fails when asked to.
            language = self._language if model.is_multilingual else "en"
            options = whisper.DecodingOptions(
                task="transcribe",
                language=language,
                without_timestamps=True,
                fp16=False,
                sample_len=most_tokens([waveforms[i] for i in members], model.dims.n_text_ctx // 2),
            )
            for i, result in zip(members, whisper.decode(model, batch, options), strict=True):
                found[i] = sensible(
                    Transcript(
                        result.text.strip(), math.exp(result.avg_logprob), result.no_speech_prob
                    ),
                    is_cut=len(result.tokens) >= (options.sample_len or 0),
                )
        return [found[i] for i in range(len(waveforms))]

    def transcribe_words(self, speech: np.ndarray) -> Transcript:
        """Transcribe with the times of the words."""
        self.load()
        most = most_tokens([speech], self._model.dims.n_text_ctx // 2)
        options = {"word_timestamps": True, "condition_on_previous_text": False}
        return self._read(speech, most=most, sample_len=most, **options)

    def _read(self, waveform: np.ndarray, *, most: float = math.inf, **options: Any) -> Transcript:
        with seeded(self._model.device):
            result = self._model.transcribe(
                waveform, task="transcribe", language=self._language, fp16=False, **options
            )
        return _joined(result["segments"], most)


class FasterWhisperTranscriber:
    """A model of the faster-whisper package, in the format of CTranslate2.

    Args:
        model: a name such as ``"base.en"``, a Hub id or a folder.
        device: torch device.
        language: spoken language for multilingual models; detected when not given.
    """

    def __init__(self, model: str, *, device: Any = "cpu", language: str | None = None) -> None:
        self.name = FASTER_PREFIX + model
        self._model_name = model
        self._device = torch.device(device)
        self._language = language
        self._seed: Any = None
        self._model: Any = None

    def load(self) -> None:
        """Load from the folder, from the Hub's cache, or from the Hub when online."""
        if self._model is not None:
            return
        try:
            import ctranslate2
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise TranscriberUnavailable(f"{self.name}: faster-whisper is not installed") from error
        # A model of half-precision weights is read in single precision on a CPU, with a warning.
        ctranslate2.set_log_level(logging.ERROR)
        why = None if Path(self._model_name).is_dir() else no_hub()
        try:
            model = WhisperModel(
                self._model_name,
                device=self._device.type,
                device_index=self._device.index or 0,
                cpu_threads=torch.get_num_threads(),
                local_files_only=why is not None,
            )
        except Exception as error:  # a folder that is no model fails in many ways
            reason = f"not in the cache, and {why}" if why else one_line(error)
            raise TranscriberUnavailable(f"{self.name}: {reason}") from error
        if not model.model.is_multilingual:
            refuse_language(self.name, self._language)
        self._seed, self._model = ctranslate2.set_random_seed, model

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe clip by clip."""
        self.load()
        return [self._read(waveform, without_timestamps=True) for waveform in waveforms]

    def transcribe_words(self, speech: np.ndarray) -> Transcript:
        """Transcribe with the times of the words."""
        self.load()
        return self._read(speech, word_timestamps=True)

    def _read(self, waveform: np.ndarray, **options: Any) -> Transcript:
        self._seed(0)
        most = most_tokens([waveform], self._model.max_length // 2)
        segments, _ = self._model.transcribe(
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


def by_context(
    waveforms: Sequence[np.ndarray], full: int | None
) -> Iterator[tuple[int | None, list[int]]]:
    """Group clips by the frames of context they get; ``None`` for those of more than 30 s.

    Args:
        full: the context of every clip; chosen by its length when not given.
    """
    window = CHUNK_S * SAMPLING_RATE
    groups: dict[int | None, list[int]] = defaultdict(list)
    for index, waveform in enumerate(waveforms):
        context = full
        if waveform.size > window:
            context = None
        elif full is None:
            steps = math.ceil(waveform.size / FRAME / CONTEXT_STEP)
            context = min(steps * CONTEXT_STEP, window // FRAME)
        groups[context].append(index)
    yield from groups.items()


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
    # Speech in any part is speech in the clip.
    silent = min(part["no_speech_prob"] for part in parts)
    return sensible(Transcript(text, math.exp(logprob), silent, words=words), is_cut=tokens >= most)


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

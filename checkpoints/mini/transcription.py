"""Speech to text behind one small interface (paper, section III-D.2: Whisper).

A transcriber has two methods: ``load`` fetches its weights or says in one line why it cannot,
``transcribe`` turns waveforms into text.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from huggingface_hub.constants import is_offline_mode

from .audio import SAMPLING_RATE

OPENAI_PREFIX = "openai-whisper:"
WHISPER_WINDOW = 30 * SAMPLING_RATE


class TranscriberUnavailable(RuntimeError):
    """The weights of a transcriber are nowhere to be found. The message is one line."""


class Transcriber(Protocol):
    """What the pipeline and the corpus builder need of a speech recogniser."""

    name: str

    def load(self) -> None:
        """Load the weights once; raise :class:`TranscriberUnavailable` when there are none."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Return one text, perhaps empty, per waveform (float32 ``(num_samples,)``, 16 kHz)."""


class OpenAIWhisperTranscriber:
    """A model of the openai-whisper package.

    Args:
        model: a name such as ``"base.en"`` or the path of a ``.pt`` file.
        device: torch device.
        language: spoken language for multilingual models; detected when not given.
    """

    def __init__(self, model: str, *, device: Any = "cpu", language: str | None = None) -> None:
        self.name = OPENAI_PREFIX + model
        self._model_name = model
        self._device = device
        self._language = language
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
            self._model = whisper.load_model(self._model_name, device=str(self._device))
        except Exception as error:  # a file that is no checkpoint fails in many ways
            raise TranscriberUnavailable(f"{self.name}: {_one_line(error)}") from error

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        import whisper

        texts = [""] * len(waveforms)
        short = [i for i, waveform in enumerate(waveforms) if waveform.size <= WHISPER_WINDOW]
        if short:
            spectrograms = [
                whisper.log_mel_spectrogram(
                    whisper.pad_or_trim(waveforms[i]), self._model.dims.n_mels
                )
                for i in short
            ]
            batch = torch.stack(spectrograms).to(self._model.device)
            # An English-only model has no language to detect, and fails when asked to.
            language = self._language if self._model.is_multilingual else "en"
            options = whisper.DecodingOptions(
                language=language, without_timestamps=True, fp16=False
            )
            for i, result in zip(short, whisper.decode(self._model, batch, options), strict=True):
                texts[i] = result.text.strip()
        for i in set(range(len(waveforms))) - set(short):
            # Where a window is hard, Whisper samples; the same clip shall give the same text.
            with torch.random.fork_rng(devices=self._cuda_devices()):
                torch.manual_seed(0)
                result = self._model.transcribe(waveforms[i], language=self._language, fp16=False)
            texts[i] = result["text"].strip()
        return texts

    def _cuda_devices(self) -> list[torch.device]:
        return [self._model.device] if self._model.device.type == "cuda" else []


class TransformersTranscriber:
    """Any speech recogniser that ``pipeline("automatic-speech-recognition")`` loads.

    Args:
        model: Hub id or folder.
        device: torch device.
        language: spoken language for multilingual Whisper; detected when not given.
    """

    def __init__(self, model: str, *, device: Any = "cpu", language: str | None = None) -> None:
        self.name = model
        self._device = device
        self._language = language
        self._pipeline: Any = None

    def load(self) -> None:
        """Load from the folder, from the Hub's cache, or from the Hub when online."""
        if self._pipeline is not None:
            return
        from transformers import pipeline

        try:
            self._pipeline = pipeline(
                "automatic-speech-recognition", model=self.name, device=self._device
            )
        except Exception as error:  # the loaders raise many kinds; each means "no transcript"
            where = "in a local folder or the cache"
            reason = f"no weights {where}, and offline" if is_offline_mode() else _one_line(error)
            raise TranscriberUnavailable(f"{self.name}: {reason}") from error

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        options: dict[str, Any] = {}
        window = math.inf
        if self._pipeline.type == "seq2seq_whisper":
            window = WHISPER_WINDOW
            generation = self._pipeline.model.generation_config
            # An English-only model refuses to be told a language.
            if self._language is not None and getattr(generation, "is_multilingual", True):
                options["generate_kwargs"] = {"language": self._language}
        texts = [""] * len(waveforms)
        # Spectrograms of long clips differ in length and cannot share a batch.
        short = [i for i, waveform in enumerate(waveforms) if waveform.size <= window]
        long = [i for i, waveform in enumerate(waveforms) if waveform.size > window]
        for part in ([short] if short else []) + [[i] for i in long]:
            clips = [{"raw": waveforms[i], "sampling_rate": SAMPLING_RATE} for i in part]
            if part is not short:
                options["return_timestamps"] = True
            results = self._pipeline(clips, batch_size=len(clips), **options)
            for i, result in zip(part, results, strict=True):
                texts[i] = result["text"].strip()
        return texts


def make_transcriber(
    name: str | None, *, device: Any = "cpu", language: str | None = None
) -> Transcriber | None:
    """Choose a transcriber by name; nothing is loaded yet.

    Args:
        name: ``"none"`` or ``None``; ``"openai-whisper:<name or file>"``; or any transformers id
            or folder of a speech recogniser.
        device: torch device.
        language: spoken language for multilingual models.
    """
    if name is None or name == "none":
        return None
    if name.startswith(OPENAI_PREFIX):
        return OpenAIWhisperTranscriber(
            name.removeprefix(OPENAI_PREFIX), device=device, language=language
        )
    return TransformersTranscriber(name, device=device, language=language)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

"""Speech to text behind one small interface (paper, section III-D.2: Whisper).

The backends; their common interface is in :mod:`.transcript`.
"""

import copy
import dataclasses
import math
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants, get_session, snapshot_download
from huggingface_hub.constants import is_offline_mode
from transformers.modeling_outputs import BaseModelOutput

from .audio import SAMPLING_RATE
from .configuration_hubert_bert import FRAME
from .encoders import encode_speech
from .transcript import CachedTranscriber, Transcriber, TranscriberUnavailable, Transcript

OPENAI_PREFIX = "openai-whisper:"
WHISPER_WINDOW = 30 * SAMPLING_RATE

BEAMS = 5
"""Beams of Whisper's search, as in the stock pipeline of transformers."""

TOKENS_A_SECOND, TOKENS_AT_LEAST = 12, 24
"""Most tokens of a transcript, by the length of its clip: fast English speech has 5 a second, and
languages that Whisper spells in small pieces have twice as many."""

COMPRESSION_LIMIT, COMPRESSION_BYTES = 2.4, 80
"""A text of so many bytes that zlib makes smaller by more than this factor repeats itself; the
limit is that of openai-whisper."""

CONTEXT_STEP = 125
"""A short context is a multiple of so many frames (2.5 s), so that clips of about one length share
a batch, and a clip gets the same context whatever else is in it."""


class OpenAIWhisperTranscriber:
    """A model of the openai-whisper package.

    Args:
        model: a name such as ``"base.en"`` or the path of a ``.pt`` file.
        device: torch device.
        language: spoken language for multilingual models; detected when not given.
        short_context: see :func:`make_transcriber`.
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
        if not self._model.is_multilingual:
            _refuse_language(self.name, self._language)

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        import whisper

        found: dict[int, Transcript] = {}
        full = self._model.dims.n_audio_ctx
        for context, members in _batches(waveforms, full if not self._short_context else None):
            if context is None:
                found |= {i: self._read_long(waveforms[i]) for i in members}
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
                sample_len=_most_tokens(
                    [waveforms[i] for i in members], model.dims.n_text_ctx // 2
                ),
            )
            for i, result in zip(members, whisper.decode(model, batch, options), strict=True):
                found[i] = sensible(
                    result.text,
                    math.exp(result.avg_logprob),
                    result.no_speech_prob,
                    is_cut=len(result.tokens) >= (options.sample_len or 0),
                )
        return [found[i] for i in range(len(waveforms))]

    def _read_long(self, waveform: np.ndarray) -> Transcript:
        # Whisper samples where decoding is difficult; the seed makes the text reproducible.
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            result = self._model.transcribe(
                waveform, task="transcribe", language=self._language, fp16=False
            )
        parts = result["segments"]
        tokens = sum(len(part["tokens"]) for part in parts)
        if not tokens:
            return Transcript(result["text"].strip())
        logprob = sum(part["avg_logprob"] * len(part["tokens"]) for part in parts) / tokens
        # Speech in any part is speech in the clip.
        silent = min(part["no_speech_prob"] for part in parts)
        return Transcript(result["text"].strip(), math.exp(logprob), silent)


class TransformersTranscriber:
    """Any speech transcriber that ``pipeline("automatic-speech-recognition")`` loads.

    Whisper gives a confidence for clips of up to 30 s; other models and longer clips go through
    the stock pipeline, which gives none.

    Args:
        model: Hub id or folder.
        device: torch device.
        language: spoken language for multilingual Whisper; detected when not given.
        short_context: see :func:`make_transcriber`.
    """

    def __init__(
        self,
        model: str,
        *,
        device: Any = "cpu",
        language: str | None = None,
        short_context: bool = False,
    ) -> None:
        self.name = model
        self._device = device
        self._language = language
        self._short_context = short_context
        self._pipeline: Any = None

    def load(self) -> None:
        """Load from the folder, from the Hub's cache, or from the Hub when online."""
        if self._pipeline is not None:
            return
        from transformers import pipeline

        source = self.name
        if not Path(source).is_dir() and (why := _no_hub()):
            try:
                source = snapshot_download(source, local_files_only=True)
            except Exception as error:
                reason = f"no weights in a local folder or the cache, and {why}"
                raise TranscriberUnavailable(f"{self.name}: {reason}") from error
        try:
            self._pipeline = pipeline(
                "automatic-speech-recognition",
                model=source,
                device=self._device,
                # Half precision takes three times as long on a CPU.
                dtype=torch.float32 if torch.device(self._device).type == "cpu" else "auto",
                trust_remote_code=False,
            )
        except Exception as error:  # the loaders raise many kinds; each means "no transcript"
            raise TranscriberUnavailable(f"{self.name}: {_one_line(error)}") from error
        if self._pipeline.type == "seq2seq_whisper" and not self._is_multilingual():
            _refuse_language(self.name, self._language)

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        if self._pipeline.type != "seq2seq_whisper":
            return self._read(list(waveforms))
        found: dict[int, Transcript] = {}
        full = self._pipeline.model.config.max_source_positions
        for context, members in _batches(waveforms, full if not self._short_context else None):
            if context is None:
                for i in members:  # spectrograms that differ in length cannot share a batch
                    found[i] = self._read([waveforms[i]], return_timestamps=True)[0]
            else:
                read = self._generate([waveforms[i] for i in members], context)
                found |= dict(zip(members, read, strict=True))
        return [found[i] for i in range(len(waveforms))]

    def _is_multilingual(self) -> bool:
        return getattr(self._pipeline.model.generation_config, "is_multilingual", True)

    def _language_options(self) -> dict[str, Any]:
        # An English-only model refuses to be told a task or a language.
        if not self._is_multilingual():
            return {}
        language = {} if self._language is None else {"language": self._language}
        return {"task": "transcribe", **language}

    def _read(self, waveforms: Sequence[np.ndarray], **options: Any) -> list[Transcript]:
        if not waveforms:
            return []
        if options and (language := self._language_options()):
            options["generate_kwargs"] = language
        clips = [{"raw": waveform, "sampling_rate": SAMPLING_RATE} for waveform in waveforms]
        results = self._pipeline(clips, batch_size=len(clips), **options)
        return [Transcript(result["text"].strip()) for result in results]

    @torch.inference_mode()
    def _generate(self, waveforms: Sequence[np.ndarray], context: int) -> list[Transcript]:
        """Transcribe clips of up to 30 s with Whisper, with the probabilities of the tokens."""
        model, tokenizer = self._pipeline.model, self._pipeline.tokenizer
        mel = self._pipeline.feature_extractor(
            list(waveforms), sampling_rate=SAMPLING_RATE, return_tensors="pt"
        )["input_features"]
        mel = mel[:, :, : 2 * context].to(model.device, model.dtype)
        (states,), _ = encode_speech(model.get_encoder(), mel, None, all_layers=False)
        encoded = {"encoder_outputs": BaseModelOutput(states)}
        start = model.generation_config.decoder_start_token_id
        first = torch.full((len(waveforms), 1), start, device=model.device)
        silence = model(**encoded, decoder_input_ids=first).logits[:, 0].float().softmax(-1)
        output = model.generate(
            **encoded,
            **self._language_options(),
            max_length=_most_tokens(waveforms, model.generation_config.max_length),
            num_beams=BEAMS,
            length_penalty=1.0,  # the score of a text is then the mean over its tokens
            return_dict_in_generate=True,
            output_scores=True,
            force_unique_generate_call=True,
        )
        texts = tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
        scores = output.sequences_scores.tolist()
        vocabulary = tokenizer.get_vocab()
        # Its name changed with the third large model.
        quiet = vocabulary.get("<|nospeech|>", vocabulary.get("<|nocaptions|>"))
        return [
            sensible(
                text,
                math.exp(score),
                None if quiet is None else float(odds[quiet]),
                is_cut=model.generation_config.eos_token_id not in tokens[first.shape[1] :],
            )
            for text, score, odds, tokens in zip(
                texts, scores, silence, output.sequences.tolist(), strict=True
            )
        ]


def make_transcriber(
    name: str | None,
    *,
    device: Any = "cpu",
    language: str | None = None,
    cache: str | os.PathLike | None = None,
    short_context: bool = False,
) -> Transcriber | None:
    """Choose a transcriber by name; nothing is loaded yet.

    Args:
        name: ``"none"`` or ``None``; ``"openai-whisper:<name or file>"``; or any transformers id
            or folder of a speech transcriber.
        device: torch device.
        language: spoken language for multilingual models.
        cache: folder in which transcripts are kept by the hash of the audio; nothing is kept when
            not given, since a transcript may be private.
        short_context: let Whisper encode the length of a clip instead of 30 s. It is several times
            faster on short clips, but Whisper was trained on 30 s, and the text may differ.

    Example:
        >>> make_transcriber("none") is None
        True
        >>> make_transcriber("openai-whisper:base.en").name
        'openai-whisper:base.en'
    """
    if name is None or name == "none":
        return None
    options = {"device": device, "language": language, "short_context": short_context}
    transcriber: Transcriber
    if name.startswith(OPENAI_PREFIX):
        transcriber = OpenAIWhisperTranscriber(name.removeprefix(OPENAI_PREFIX), **options)
    else:
        transcriber = TransformersTranscriber(name, **options)
    if cache is None:
        return transcriber
    settings = {"language": language, "short_context": short_context}
    return CachedTranscriber(transcriber, cache, settings)


def _most_tokens(waveforms: Sequence[np.ndarray], limit: int) -> int:
    """Most tokens of a transcript of the longest of these clips; the model allows ``limit``."""
    seconds = max(waveform.size for waveform in waveforms) / SAMPLING_RATE
    return min(limit, TOKENS_AT_LEAST + math.ceil(TOKENS_A_SECOND * seconds))


def sensible(text: str, confidence: float, no_speech: float | None, *, is_cut: bool) -> Transcript:
    """A transcript, or an error in place of one that repeats itself and was cut at its bound.

    What is said may repeat itself too, but it comes to an end.
    """
    text, content = text.strip(), text.strip().encode()
    ratio = len(content) / len(zlib.compress(content))
    if is_cut and len(content) >= COMPRESSION_BYTES and ratio > COMPRESSION_LIMIT:
        return Transcript("", error="the transcriber repeated itself")
    return Transcript(text, confidence, no_speech)


def _refuse_language(name: str, language: str | None) -> None:
    """Refuse a language that an English-only model does not have."""
    if language is not None and language.lower() not in ("en", "english"):
        raise TranscriberUnavailable(f"{name}: transcribes English only, and not {language}")


def _batches(
    waveforms: Sequence[np.ndarray], full: int | None
) -> Iterator[tuple[int | None, list[int]]]:
    """Group clips by the frames of context they get; ``None`` for those of more than 30 s.

    Args:
        full: the context of every clip; chosen by its length when not given.
    """
    groups: dict[int | None, list[int]] = defaultdict(list)
    for index, waveform in enumerate(waveforms):
        context = full
        if waveform.size > WHISPER_WINDOW:
            context = None
        elif full is None:
            steps = math.ceil(waveform.size / FRAME / CONTEXT_STEP)
            context = min(steps * CONTEXT_STEP, WHISPER_WINDOW // FRAME)
        groups[context].append(index)
    yield from groups.items()


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


def _no_hub() -> str | None:
    """Why nothing can be loaded from the Hub; ``None`` when it can be reached.

    One request, because ``transformers`` retries that of every file for half a minute.
    """
    if is_offline_mode():
        return "offline"
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except Exception:  # of the HTTP library that huggingface_hub uses
        return "the Hub cannot be reached"
    return None


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

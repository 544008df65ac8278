"""Speech to text behind one small interface (paper, section III-D.2: Whisper).

The transcribers of transformers; those of other packages are in :mod:`.whisper_packages`, and their
common interface is in :mod:`.transcript`.
"""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from .audio import SAMPLING_RATE
from .encoders import encode_speech
from .transcript import (
    CHUNK_S,
    TEMPERATURES,
    CachedTranscriber,
    ModelTranscriber,
    Transcriber,
    TranscriberUnavailable,
    Transcript,
    Word,
    most_tokens,
    one_line,
    sensible,
    weights_of,
)
from .whisper_packages import FasterWhisperTranscriber, OpenAIWhisperTranscriber, in_batches, seeded

BEAMS = 5
"""Beams of Whisper's search, as in the stock pipeline of transformers."""

WITH_TIMES = {
    "return_timestamps": True,
    "return_token_timestamps": True,
    "return_segments": True,
    "num_beams": 1,
    "temperature": TEMPERATURES,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    # Of tokens and not of text, as in the examples of transformers.
    "compression_ratio_threshold": 1.35,
    "condition_on_prev_tokens": False,
}
"""How Whisper transcribes with the times of words; the thresholds are those of openai-whisper."""


class TransformersTranscriber(ModelTranscriber):
    """Any speech transcriber that ``pipeline("automatic-speech-recognition")`` loads, by Hub id or
    folder.

    Whisper gives a confidence for clips of up to 30 s; other models and longer clips go through
    the stock pipeline, which gives none.
    """

    def _load(self) -> Any:
        from transformers import pipeline

        source = weights_of(self.name)
        try:
            loaded = pipeline(
                "automatic-speech-recognition",
                model=source,
                device=self._device,
                # Half precision takes three times as long on a CPU.
                dtype=torch.float32 if torch.device(self._device).type == "cpu" else "auto",
                trust_remote_code=False,
            )
        except Exception as error:  # the loaders raise many kinds; each means "no transcript"
            raise TranscriberUnavailable(f"{self.name}: {one_line(error)}") from error
        if loaded.type != "seq2seq_whisper":
            return loaded
        config, settings = loaded.model.config, loaded.model.generation_config
        if getattr(settings, "alignment_heads", None) is None:
            # Those of the later half of the layers, as in openai-whisper.
            settings.alignment_heads = [
                [layer, head]
                for layer in range(config.decoder_layers // 2, config.decoder_layers)
                for head in range(config.decoder_attention_heads)
            ]
        return loaded

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe; clips of up to 30 s share one batch, longer ones are read in windows."""
        self.load()
        if self._loaded.type != "seq2seq_whisper":
            return self._read(list(waveforms))
        full = self._loaded.model.config.max_source_positions
        context = None if self._short_context else full
        return in_batches(waveforms, context, short=self._read_short, long=self._read_long)

    def transcribe_words(self, speech: np.ndarray) -> Transcript | None:
        """Transcribe with the times of the words, which Whisper and CTC models give."""
        self.load()
        if self._loaded.type == "seq2seq_whisper":
            return self._generate_words(speech)
        if not hasattr(self._loaded.tokenizer, "_get_word_offsets"):
            return None
        clip = {"raw": speech, "sampling_rate": SAMPLING_RATE}
        result = self._loaded(clip, return_timestamps="word")
        parts = [(*part["timestamp"], part["text"]) for part in result["chunks"]]
        words = tuple(Word(start, end, f" {text}") for start, end, text in parts)
        return Transcript(result["text"].strip(), words=words)

    def _is_multilingual(self, loaded: Any) -> bool:
        settings = loaded.model.generation_config
        return loaded.type != "seq2seq_whisper" or getattr(settings, "is_multilingual", True)

    def _language_options(self) -> dict[str, Any]:
        # An English-only model refuses to be told a task or a language.
        if not self._is_multilingual(self._loaded):
            return {}
        language = {} if self._language is None else {"language": self._language}
        return {"task": "transcribe", **language}

    def _read_long(self, waveform: np.ndarray) -> Transcript:
        language = self._language_options()
        options = {"generate_kwargs": language} if language else {}
        return self._read([waveform], return_timestamps=True, **options)[0]

    def _read(self, waveforms: Sequence[np.ndarray], **options: Any) -> list[Transcript]:
        if not waveforms:
            return []
        clips = [{"raw": waveform, "sampling_rate": SAMPLING_RATE} for waveform in waveforms]
        results = self._loaded(clips, batch_size=len(clips), **options)
        return [Transcript(result["text"].strip()) for result in results]

    @torch.inference_mode()
    def _read_short(self, waveforms: Sequence[np.ndarray], context: int) -> list[Transcript]:
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        mel = self._loaded.feature_extractor(
            list(waveforms), sampling_rate=SAMPLING_RATE, return_tensors="pt"
        )["input_features"]
        mel = mel[:, :, : 2 * context].to(model.device, model.dtype)
        (states,), _ = encode_speech(model.get_encoder(), mel, None, all_layers=False)
        output = model.generate(
            encoder_outputs=BaseModelOutput(states),
            **self._language_options(),
            max_length=most_tokens(waveforms, model.generation_config.max_length),
            num_beams=BEAMS,
            length_penalty=1.0,  # the score of a text is then the mean over its tokens
            return_dict_in_generate=True,
            output_scores=True,
            force_unique_generate_call=True,
        )
        texts = tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
        scores, sequences = output.sequences_scores.tolist(), output.sequences.tolist()
        return [
            sensible(
                Transcript(text.strip(), math.exp(score)),
                # The first token is that of the start, which may be the one of the end.
                is_cut=model.generation_config.eos_token_id not in tokens[1:],
            )
            for text, score, tokens in zip(texts, scores, sequences, strict=True)
        ]

    @torch.inference_mode()
    def _generate_words(self, speech: np.ndarray) -> Transcript:
        """Transcribe up to 30 s with Whisper; the times are those of its cross-attention."""
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        mel = self._loaded.feature_extractor(
            speech, sampling_rate=SAMPLING_RATE, return_attention_mask=True, return_tensors="pt"
        )
        most = most_tokens([speech], model.generation_config.max_length)
        with seeded(model.device):
            output = model.generate(
                mel["input_features"].to(model.device, model.dtype),
                attention_mask=mel["attention_mask"].to(model.device),
                **self._language_options(),
                **WITH_TIMES,
                max_length=most,
            )
        (segments,) = output["segments"]
        if not segments:
            return Transcript("")
        # A result is one run of the decoder; the next one begins where its last segment ended.
        results = list({id(part["result"]): part["result"] for part in segments}.values())
        chosen = []
        for result in results:
            scores = torch.stack(result["scores"]).float().log_softmax(-1)
            chosen.append(scores.gather(1, result["sequences"][-len(scores) :, None]))
        confidence = float(torch.cat(chosen).mean().exp())
        times = torch.cat([part["token_timestamps"] for part in segments])
        text, found = tokenizer._decode_asr(
            [{"tokens": output["sequences"].cpu(), "token_timestamps": times[None].cpu()}],
            return_timestamps="word",
            return_language=None,
            time_precision=CHUNK_S / model.config.max_source_positions,
        )
        parts = [(*part["timestamp"], part["text"]) for part in found["chunks"]]
        words = tuple(Word(start, end, text, confidence) for start, end, text in parts)
        is_cut = any(len(result["scores"]) >= most for result in results)
        return sensible(Transcript(text.strip(), confidence, words=words), is_cut=is_cut)


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
        name: ``"none"`` or ``None``; ``"openai-whisper:<name or file>"``;
            ``"faster-whisper:<name or folder>"``; or any transformers id or folder of a speech
            transcriber.
        device: torch device.
        language: spoken language for multilingual models.
        cache: folder in which transcripts are kept by the hash of the audio; nothing is kept when
            not given, since a transcript may be private.
        short_context: let Whisper encode the length of a clip instead of 30 s. It is several times
            faster on short clips, but Whisper was trained on 30 s, and the text may differ.
            faster-whisper does not have it.

    Raises:
        ValueError: ``short_context`` for faster-whisper.

    Example:
        >>> make_transcriber("none") is None
        True
        >>> make_transcriber("openai-whisper:base.en").name
        'openai-whisper:base.en'
    """
    if name is None or name == "none":
        return None
    settings: dict[str, Any] = {"language": language, "short_context": short_context}
    kind: type[ModelTranscriber] = TransformersTranscriber
    for package in (FasterWhisperTranscriber, OpenAIWhisperTranscriber):
        if name.startswith(package.prefix):
            kind = package
    transcriber = kind(name.removeprefix(kind.prefix), device=device, **settings)
    return transcriber if cache is None else CachedTranscriber(transcriber, cache, settings)

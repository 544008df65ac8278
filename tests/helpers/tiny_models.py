"""Model folders with random weights: the real classes, small enough to be made in a test."""

import string
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    GenerationConfig,
    Wav2Vec2FeatureExtractor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from whisper.model import ModelDimensions, Whisper

from hub_model.audio import SAMPLING_RATE
from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.processing_hubert_bert import HubertBertProcessor

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (*SPECIAL, "kids", "dogs", "are", "talking", "sitting", "by", "the", "door", "leave", "me")

HUBERT = {
    "model_type": "hubert",
    "conv_dim": (16,) * 7,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""A speech encoder of the shape of HuBERT base: group norm after its first convolution."""

HUBERT_LAYER_NORM = HUBERT | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
"""A speech encoder of the shape of HuBERT large: layer norm after every convolution."""

BERT = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
}

WHISPER_SIZE = 16
WHISPER_TOKENS = 10


def tiny_config(**settings: Any) -> HubertBertConfig:
    """A config of the two encoders above; ``settings`` win over its own."""
    return HubertBertConfig(
        **{"audio_config": HUBERT, "text_config": BERT, "transcriber": "none", **settings}
    )


def tiny_model(*, seed: int = 0, **settings: Any) -> HubertBertForEmotion:
    """A model in evaluation mode whose head is large enough for its answers to differ."""
    torch.manual_seed(seed)
    model = HubertBertForEmotion(tiny_config(**settings))
    torch.nn.init.normal_(model.classifier.weight)
    return model.eval()


def tiny_processor() -> HubertBertProcessor:
    """A processor that knows the words of ``WORDS``."""
    return HubertBertProcessor(
        Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE, return_attention_mask=True),
        BertTokenizer(
            vocab={word: index for index, word in enumerate(WORDS)},
            model_max_length=BERT["max_position_embeddings"],
        ),
    )


def tiny_pipeline(*, seed: int = 0, **settings: Any) -> SpeechTextEmotionPipeline:
    """The model and the processor in their pipeline, on the CPU."""
    return SpeechTextEmotionPipeline(
        model=tiny_model(seed=seed, **settings),
        processor=tiny_processor(),
        task=PIPELINE_TASK,
        device="cpu",
    )


def write_openai_whisper(path: Path) -> Path:
    """Write a file that ``whisper.load_model`` reads: English only, ten words at most."""
    torch.manual_seed(0)
    dims = {
        "n_mels": 80,
        "n_audio_ctx": 1500,
        "n_audio_state": WHISPER_SIZE,
        "n_audio_head": 2,
        "n_audio_layer": 1,
        "n_vocab": 51_864,
        "n_text_ctx": 2 * WHISPER_TOKENS,
        "n_text_state": WHISPER_SIZE,
        "n_text_head": 2,
        "n_text_layer": 1,
    }
    model = _scatter(Whisper(ModelDimensions(**dims)))
    torch.save({"dims": dims, "model_state_dict": model.state_dict()}, path)
    return path


def write_transformers_whisper(folder: Path, *, deaf: bool = False) -> Path:
    """Write a folder that ``pipeline("automatic-speech-recognition")`` reads.

    It spells words of random letters; a deaf one may use none of them.
    """
    torch.manual_seed(0)
    end, start, no_timestamps = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
    special = [end, start, "<|startofprev|>", "<|nospeech|>", no_timestamps]
    stamps = [f"<|{index * 0.02:.2f}|>" for index in range(1501)]
    # "Ġ" is how a byte-level vocabulary writes a space.
    tokens = [*string.ascii_lowercase, "Ġ", *special, *stamps]
    ids = {token: index for index, token in enumerate(tokens)}
    tokenizer = WhisperTokenizer(
        vocab=ids, merges=[], pad_token=end, extra_special_tokens=special[1:]
    )
    ends = {"bos_token_id": ids[end], "eos_token_id": ids[end], "pad_token_id": ids[end]}
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokens),
            num_mel_bins=80,
            d_model=WHISPER_SIZE,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=WHISPER_SIZE,
            decoder_ffn_dim=WHISPER_SIZE,
            max_target_positions=2 * WHISPER_TOKENS,
            suppress_tokens=None,
            begin_suppress_tokens=None,
            decoder_start_token_id=ids[start],
            **ends,
        )
    )
    model.generation_config = GenerationConfig(
        max_length=WHISPER_TOKENS,
        decoder_start_token_id=ids[start],
        no_timestamps_token_id=ids[no_timestamps],
        max_initial_timestamp_index=50,
        is_multilingual=False,
        suppress_tokens=list(range(ids[end])) if deaf else None,
        **ends,
    )
    _scatter(model)
    with torch.no_grad():  # letters are likelier than ends and time stamps
        model.model.decoder.embed_tokens.weight[: ids[end]] *= 3
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    return folder


def _scatter(model: torch.nn.Module) -> torch.nn.Module:
    """Give large random weights, so that different clips are heard as different texts."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter)
    return model

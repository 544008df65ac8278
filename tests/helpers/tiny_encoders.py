"""One tiny config of every kind of encoder, and the processor that goes with a pair of them."""

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.encoders import make_feature_extractor
from hub_model.processing_hubert_bert import HubertBertProcessor
from tests.helpers.tiny_models import BERT, HUBERT, HUBERT_LAYER_NORM, WORDS, tiny_processor

WHISPER = {
    "model_type": "whisper",
    "num_mel_bins": 80,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 16,
    "vocab_size": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "decoder_start_token_id": 1,
}

SPEECH: dict[str, dict[str, Any]] = {
    "hubert-base": HUBERT,
    "hubert-large": HUBERT_LAYER_NORM,
    "wav2vec2": HUBERT | {"model_type": "wav2vec2"},
    "wav2vec2-large": HUBERT_LAYER_NORM | {"model_type": "wav2vec2"},
    "wavlm": HUBERT | {"model_type": "wavlm"},
    "data2vec": HUBERT
    | {
        "model_type": "data2vec-audio",
        "num_conv_pos_embeddings": 3,
        "conv_pos_kernel_size": 5,
    },
    "whisper": WHISPER,
}
"""Speech encoders; HuBERT X-LARGE is a larger ``hubert-large``."""

_SIZES = {"vocab_size": len(WORDS), "pad_token_id": 0}
_GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
_ENDS = {"bos_token_id": 2, "eos_token_id": 3}

TEXT: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "roberta": BERT | {"model_type": "roberta", **_ENDS},
    "xlm-roberta": BERT | {"model_type": "xlm-roberta", **_ENDS},
    "distilbert": _SIZES
    | {
        "model_type": "distilbert",
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 16,
        "max_position_embeddings": 32,
    },
    "gpt2": {"model_type": "gpt2", "vocab_size": len(WORDS), **_GPT2, **_ENDS},
    "xlnet": _SIZES
    | {"model_type": "xlnet", "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 16, **_ENDS},
}

WITHOUT_PADDING = ("gpt2",)
PADDED_LEFT = ("xlnet",)


def pair_processor(speech: str, text: str) -> HubertBertProcessor:
    """A processor for two encoders by their names above.

    The tokenizer of GPT-2 has no padding token, that of XLNet pads on the left.
    """
    config = HubertBertConfig(audio_config=SPEECH[speech], text_config=TEXT[text])
    extractor = make_feature_extractor(config.audio_config)
    if text not in WITHOUT_PADDING + PADDED_LEFT:
        return HubertBertProcessor(extractor, tiny_processor().tokenizer)
    words = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"eos_token": "[SEP]", "unk_token": "[UNK]"}
    if text in PADDED_LEFT:
        special |= {"pad_token": "[PAD]", "padding_side": "left"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **special)
    return HubertBertProcessor(extractor, fast)

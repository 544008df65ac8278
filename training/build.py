"""Building the model and its processor for a run."""

from typing import Any

from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    BertTokenizer,
    Wav2Vec2FeatureExtractor,
)

from hub_model.audio import SAMPLING_RATE
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from training.config import ConfigError, TrainConfig
from training.data import texts_for_vocabulary


def build_model(
    config: TrainConfig, train_rows: Dataset
) -> tuple[HubertBertForEmotion, HubertBertProcessor]:
    """Build what ``config.model`` describes, or load ``config.init_from``.

    Raises:
        ConfigError: settings that the model refuses, or weights that cannot be found.
    """
    try:
        if config.init_from:
            model = HubertBertForEmotion.from_pretrained(config.init_from)
            return model, HubertBertProcessor.from_pretrained(config.init_from)
        settings = dict(config.model)
        audio, text = settings.pop("audio_config", {}), settings.pop("text_config", {})
        if isinstance(text, str):
            tokenizer = AutoTokenizer.from_pretrained(text)
        else:
            tokenizer = _train_tokenizer(config.tokenizer, train_rows)
            text = {**text, "vocab_size": len(tokenizer)}
        if isinstance(audio, str):
            extractor = AutoFeatureExtractor.from_pretrained(audio)
        else:
            extractor = Wav2Vec2FeatureExtractor(sampling_rate=SAMPLING_RATE)
        model = HubertBertForEmotion.from_encoders(audio, text, **settings)
        tokenizer.model_max_length = model.config.text_config.max_position_embeddings
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"the model cannot be built: {_one_line(error)}") from error
    extractor.return_attention_mask = True
    return model, HubertBertProcessor(extractor, tokenizer)


def _train_tokenizer(settings: dict[str, Any], train_rows: Dataset) -> BertTokenizer:
    unknown = set(settings) - {"vocab_size", "texts"}
    if unknown:
        raise ConfigError(f"unknown tokenizer setting: {', '.join(sorted(unknown))}")
    texts = texts_for_vocabulary(train_rows, settings.get("texts", []))
    trainer = BertWordPieceTokenizer(lowercase=True)
    # The whole alphabet is in, so that a word never seen can still be spelt.
    alphabet = list("abcdefghijklmnopqrstuvwxyz0123456789'.,!?-")
    trainer.train_from_iterator(
        texts,
        vocab_size=settings.get("vocab_size", 1000),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    return BertTokenizer(vocab=trainer.get_vocab(), do_lower_case=True)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__

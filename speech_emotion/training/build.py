"""Building the model and its processor for a run."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoFeatureExtractor,
    AutoTokenizer,
    BertTokenizer,
    PreTrainedConfig,
)

from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.encoders import make_feature_extractor, max_tokens
from hub_model.labels import EMOTIONS
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import AudioOnlyProcessor, HubertBertProcessor
from speech_emotion.predict import DEFAULT_MODEL
from speech_emotion.predict.loading import load_processor
from speech_emotion.training.config import UNFREEZE, ConfigError, TrainConfig
from speech_emotion.training.data import corpus_cleaning, texts_for_vocabulary
from speech_emotion.training.saving import one_line
from speech_emotion.training.tasks import model_tasks

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789'.,!?-"
"""Always in a trained vocabulary, so that a word never seen can still be spelt."""

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build_model(
    config: TrainConfig, train_rows: Dataset | None
) -> tuple[HubertBertForEmotion, HubertBertProcessor]:
    """Build what ``config.model`` describes, or load ``config.init_from``.

    Its labels are those of the training clips, or the emotions without clips. It cleans audio as
    its corpus was cleaned, unless ``config.model`` says otherwise.

    Raises:
        ConfigError: settings that the model refuses, or weights that cannot be found.
    """
    cleaning = corpus_cleaning(config.data)
    labels = list(EMOTIONS) if train_rows is None else train_rows.features["label"].names
    try:
        if config.init_from:
            source = _installed(config.init_from)
            model = _started_model(source, labels)
            processor = load_processor(source, model.config)
            model.config.cleaning = cleaning or model.config.cleaning
        else:
            model, processor = _new_model(config, train_rows, cleaning, labels)
    except ConfigError:
        raise
    except Exception as error:  # transformers raises many kinds for settings it refuses
        # What the libraries say of a missing model does not always name it.
        parts = [config.init_from, *map(config.model.get, ("audio_config", "text_config"))]
        names = " and ".join(part for part in parts if isinstance(part, str))
        source = f" from {names}" if names else ""
        raise ConfigError(f"the model cannot be built{source}: {one_line(error)}") from error
    try:
        model.set_tasks(model_tasks(config, train_rows))
    except ValueError as error:
        raise ConfigError(one_line(error)) from error
    if config.standardize and not model.config.standardize_features:
        raise ConfigError(f"standardize: {config.init_from} has no feature statistics")
    if config.stock_checkpoint and (
        model.config.use_text
        or model.config.audio_pooling != "mean"
        or model.config.concatenate_layers
    ):
        raise ConfigError(
            "stock_checkpoint needs an audio-only model that pools one layer, by the mean"
        )
    return model, processor


def frozen_parts(config: TrainConfig, model: HubertBertForEmotion) -> list[str]:
    """Return the parts that ``freeze`` and ``unfreeze`` of a config leave as they are."""
    parts = UNFREEZE[config.unfreeze] if config.unfreeze else ()
    # An audio-only model has no text encoder.
    present = [name for name in parts if name != "text_model" or model.config.use_text]
    return [*dict.fromkeys([*config.freeze, *present])]


def freeze(model: HubertBertForEmotion, parts: list[str], *, top_convolutions: int = 0) -> None:
    """Switch off the gradients of some parts (paper, Figure 7 and section III-D.1).

    Args:
        parts: names of submodules.
        top_convolutions: number of the speech encoder's last convolutions that are trained.

    Raises:
        ConfigError: the model has no part of that name.
    """
    for name in parts:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            raise ConfigError(f"freeze: the model has no part {name!r}") from error
        part.requires_grad_(False)
        for module in part.modules():
            # HuBERT's convolutions require the gradient of the waveform until this is called.
            if hasattr(module, "_freeze_parameters"):
                module._freeze_parameters()
    if top_convolutions:
        try:
            layers = model.audio_model.feature_extractor.conv_layers
        except AttributeError as error:
            raise ConfigError("unfreeze: this speech encoder has no convolutions to train") from (
                error
            )
        layers[-top_convolutions:].requires_grad_(True)


def set_training(model: HubertBertForEmotion, frozen: list[str]) -> None:
    """Training mode, but for the frozen parts: without dropout their output is always the same."""
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()


def check_keys(name: str, settings: dict[str, Any], kind: type) -> None:
    """Refuse a setting that a config class does not have; it would be kept without an effect.

    Raises:
        ConfigError: names the unknown keys.
    """
    known = kind()
    unknown = [key for key in settings if not hasattr(known, key)]
    if unknown:
        raise ConfigError(f"unknown key in {name}: {', '.join(unknown)}")


def _installed(source: Any) -> Any:
    """The embedded checkpoint as ``checkpoints/mini`` in any folder, as the configs name it."""
    if not isinstance(source, str):
        return source
    embedded = Path(*DEFAULT_MODEL.parts[-2:])
    return str(DEFAULT_MODEL if Path(source) == embedded and not embedded.exists() else source)


def _started_model(source: str, labels: list[str]) -> HubertBertForEmotion:
    """Load a checkpoint; with a new classifier when the corpus has other labels.

    What was fitted to its classifier is reset: training changes that.
    """
    names = dict(enumerate(labels))
    model = HubertBertForEmotion.from_pretrained(
        source, id2label=names, num_labels=len(names), ignore_mismatched_sizes=True
    )
    model.forget_fit()
    return model


def _new_model(
    config: TrainConfig, train_rows: Dataset, cleaning: dict[str, Any] | None, labels: list[str]
) -> tuple[HubertBertForEmotion, HubertBertProcessor]:
    check_keys("model", config.model, HubertBertConfig)
    if "tasks" in config.model:
        raise ConfigError("model: tasks is a key of its own")
    if {"num_labels", "id2label", "label2id"} & config.model.keys():
        raise ConfigError("model: its labels are those of the corpus; leave them out")
    settings = {"cleaning": cleaning, **config.model, "id2label": dict(enumerate(labels))}
    if config.standardize:
        settings["standardize_features"] = True
    if config.stock_checkpoint:
        settings["use_text"] = False
    audio, text = (_installed(settings.pop(f"{part}_config", {})) for part in ("audio", "text"))
    tokenizer = None
    if not settings.pop("use_text", True):
        text = None
    elif isinstance(text, str):
        tokenizer = _part_of(text, "tokenizer")
    else:
        tokenizer = _train_tokenizer(config.tokenizer, train_rows)
        text = {**text, "vocab_size": len(tokenizer)}
    model = HubertBertForEmotion.from_encoders(audio, text, **settings)
    for name, given in (("audio_config", audio), ("text_config", text)):
        if isinstance(given, dict):
            check_keys(name, given, type(getattr(model.config, name)))
    if isinstance(audio, str):
        extractor = _part_of(audio, "feature_extractor")
    else:
        extractor = make_feature_extractor(model.config.audio_config)
    extractor.return_attention_mask = True
    if tokenizer is None:
        return model, AudioOnlyProcessor(extractor)
    tokenizer.model_max_length = max_tokens(model.config.text_config) or tokenizer.model_max_length
    return model, HubertBertProcessor(extractor, tokenizer)


def _part_of(source: str, part: str) -> Any:
    """Load the tokenizer or feature extractor of an encoder, or of a custom checkpoint."""
    settings, _ = PreTrainedConfig.get_config_dict(source)
    if settings.get("model_type") == HubertBertConfig.model_type:
        return getattr(load_processor(source, HubertBertConfig.from_dict(settings)), part)
    auto = AutoTokenizer if part == "tokenizer" else AutoFeatureExtractor
    return auto.from_pretrained(source)


def _train_tokenizer(settings: dict[str, Any], train_rows: Dataset) -> BertTokenizer:
    unknown = set(settings) - {"vocab_size", "texts"}
    if unknown:
        raise ConfigError(f"unknown tokenizer setting: {', '.join(sorted(unknown))}")
    texts = texts_for_vocabulary(train_rows, settings.get("texts", []))
    return train_wordpiece(texts, settings.get("vocab_size", 1000))


def train_wordpiece(texts: list[str], vocab_size: int) -> BertTokenizer:
    """Train a lower-case WordPiece vocabulary; the same texts give the same ids."""
    trainer = BertWordPieceTokenizer(lowercase=True)
    words = {
        word
        for text in texts
        for word, _ in trainer.pre_tokenizer.pre_tokenize_str(
            trainer.normalizer.normalize_str(text)
        )
    }
    letters = sorted({*ALPHABET, *(letter for word in words for letter in word)})
    inner = sorted({*ALPHABET, *(letter for word in words for letter in word[1:])})
    trainer.train_from_iterator(
        texts,
        vocab_size=vocab_size,
        min_frequency=1,
        # The library gives the letters inside words ids in an order that changes from run to
        # run, unless they come first.
        special_tokens=[*SPECIAL_TOKENS, *(f"##{letter}" for letter in inner)],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    return BertTokenizer(vocab=trainer.get_vocab(), do_lower_case=True)

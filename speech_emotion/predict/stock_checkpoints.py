"""Reading and writing stock checkpoints, which need no remote code (paper, Tables 6 and 8).

``HubertForSequenceClassification`` and its kin project every frame, average over time and classify.
The projection and the classifier are both linear, so together they are one linear layer on the
averaged frames: exactly an audio-only :class:`HubertBertForEmotion`. Read as such, a stock
checkpoint has the masks, chunks, options and commands of this package; and an audio-only custom
checkpoint can be written as a stock checkpoint.
"""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PreTrainedModel,
)

from hub_model.audio import Cleaning
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.loading import refuse_random_parts
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import AudioOnlyProcessor

KEPT = ("cleaning", "window_s", "training")
"""Settings that a stock checkpoint keeps in its config, where the stock classes ignore them."""

FITTED = "fitted"
"""Key of its config for what ``calibrate`` and ``adapt`` fit, a dict: ``transformers`` drops a
``temperature`` from a stock config, as one of text generation. :func:`save_stock_checkpoint` moves
the values into the weights."""

NO_CLEANING = Cleaning(denoise=False, trim=False)
"""Cleaning for a checkpoint that does not name its own."""


def load_stock_checkpoint(
    source: str | os.PathLike, *, trust_remote_code: bool = False, **hub: Any
) -> tuple[HubertBertForEmotion, AudioOnlyProcessor]:
    """Read a stock classifier of the wav2vec 2.0 family as an audio-only model.

    Args:
        source: folder or Hub id.
        trust_remote_code: run the Python code that the folder or repo brings.
        hub: ``revision`` and ``token`` of the Hub.

    Returns:
        the model in evaluation mode, float32, and its processor.

    Raises:
        OSError: no such folder or repo.
        ValueError: another kind of model, or weights are missing.
    """
    code = {"trust_remote_code": trust_remote_code}
    stock, info = AutoModelForAudioClassification.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, **code, **hub
    )
    refuse_random_parts(str(source), info)
    encoder = getattr(stock, stock.base_model_prefix, None)
    if not (hasattr(stock, "projector") and hasattr(encoder, "feature_extractor")):
        raise ValueError(
            f"{source}: {type(stock).__name__} cannot be read; HubertForSequenceClassification "
            "and its kin of wav2vec 2.0, WavLM and data2vec-audio can"
        )
    settings = {name: getattr(stock.config, name) for name in KEPT if hasattr(stock.config, name)}
    audio_config = stock.config.to_dict()
    settings |= audio_config.pop(FITTED, {})
    model = HubertBertForEmotion(
        HubertBertConfig(
            audio_config=audio_config,
            use_text=False,
            use_weighted_layer_sum=stock.config.use_weighted_layer_sum,
            id2label=stock.config.id2label,
            transcriber="none",
            **{"cleaning": NO_CLEANING.to_dict(), **settings},
        )
    )
    model.audio_model.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        weight, projector = stock.classifier.weight, stock.projector
        model.classifier.weight.copy_(weight @ projector.weight)
        model.classifier.bias.copy_(weight @ projector.bias + stock.classifier.bias)
        if stock.config.use_weighted_layer_sum:
            model.layer_weights.copy_(stock.layer_weights)
    model.config.name_or_path = str(source)
    extractor = AutoFeatureExtractor.from_pretrained(source, **code, **hub)
    return model.eval(), AudioOnlyProcessor(extractor)


def save_stock_checkpoint(
    model: HubertBertForEmotion, processor: Any, folder: str | os.PathLike
) -> PreTrainedModel:
    """Write an audio-only model as a stock checkpoint.

    The stock pipeline then gives the same result without remote code; the temperature goes into
    the weights. But it does not clean audio and has no masks: clean the clips first, and classify
    them one by one.

    Args:
        model: an audio-only model whose pooling is the mean.
        processor: its processor, for the feature extractor.
        folder: made when it does not exist.

    Returns:
        the stock model.

    Raises:
        ValueError: the model reads text, has another pooling, or its encoder has no stock
            classifier.
    """
    config = model.config
    if config.use_text or config.audio_pooling != "mean" or config.concatenate_layers:
        raise ValueError(
            "only an audio-only model (use_text false) that pools one layer or a weighted sum of "
            "layers by the mean can be written as a stock checkpoint"
        )
    if not hasattr(model.audio_model, "feature_extractor"):
        raise ValueError("a stock Whisper classifier reads 30 s at a time, and would differ")
    settings = {
        **config.audio_config.to_dict(),
        **{name: getattr(config, name) for name in KEPT},
        "id2label": config.id2label,
        "label2id": config.label2id,
        "classifier_proj_size": config.audio_config.hidden_size,
        "use_weighted_layer_sum": config.use_weighted_layer_sum,
    }
    kind = settings.pop("model_type")
    stock = AutoModelForAudioClassification.from_config(AutoConfig.for_model(kind, **settings))
    getattr(stock, stock.base_model_prefix).load_state_dict(model.audio_model.state_dict())
    with torch.no_grad():
        stock.projector.weight.copy_(torch.eye(config.audio_config.hidden_size))
        stock.projector.bias.zero_()
        weight, bias = model.folded_classifier()
        stock.classifier.weight.copy_(weight / config.temperature)
        bias = bias + torch.tensor(config.logit_bias or 0.0)
        stock.classifier.bias.copy_(bias / config.temperature)
        if config.use_weighted_layer_sum:
            stock.layer_weights.copy_(model.layer_weights)
    stock.eval().save_pretrained(Path(folder))
    processor.feature_extractor.save_pretrained(folder)
    return stock

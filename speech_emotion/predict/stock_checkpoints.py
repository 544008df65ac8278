"""Plain audio classifiers, which need no remote code (paper, Tables 6 and 8: "Hubert standalone").

``HubertForSequenceClassification`` and its kin project every frame, average over time and classify.
The projection and the classifier are both linear, so that together they are one linear layer on
the averaged frames: a :class:`HubertBertForEmotion` without text, exactly. Read as that, a plain
checkpoint gets the masks, the windows, the options and the commands of this package; and a model
of the voice alone can be written as a plain checkpoint for whoever runs no remote code.
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
    pipeline,
)

from hub_model.audio import Cleaning
from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion, refuse_random_parts
from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
from hub_model.processing_hubert_bert import AudioOnlyProcessor
from speech_emotion.predict.onnx_model import load_onnx
from speech_emotion.predict.precision import PRECISIONS, set_precision

BACKENDS = ("torch", "onnx")

KEPT = ("cleaning", "window_s", "training")
"""Settings that a plain checkpoint keeps in its config, where the stock classes ignore them."""

FITTED = "fitted"
"""Where its config keeps what ``calibrate`` and ``adapt`` find, a dict: ``transformers`` drops a
``temperature`` from a stock config, as one of text generation. :func:`save_standalone` moves it
into the weights."""

AS_IT_IS = Cleaning(denoise=False, trim=False)
"""How clips are cleaned for a checkpoint that does not say how its own were."""


def load_classifier(
    source: str | os.PathLike, *, backend: str = "torch", precision: str = "fp32", **options: Any
) -> SpeechTextEmotionPipeline:
    """Load the pipeline of an emotion model, or the same pipeline around a plain classifier.

    Args:
        source: folder or Hub id.
        backend: ``torch``; or ``onnx``, for a model that was exported.
        precision: ``fp32``; ``bf16`` (torch only) or ``int8`` for speed, see
            :mod:`speech_emotion.predict.precision`.
        options: keyword arguments of ``transformers.pipeline``, among them those of
            :class:`SpeechTextEmotionPipeline`.

    Raises:
        OSError: neither a folder nor reachable on the Hub.
        ValueError: not such a model, weights are missing, or a precision that the backend does
            not have.
        OnnxMissing: onnxruntime is asked for and not installed.
    """
    hub = {name: options[name] for name in ("revision", "token") if name in options}
    if backend not in BACKENDS:
        raise ValueError(f"backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    if backend == "onnx":
        model, processor = load_onnx(source, precision, **hub)
    else:
        if precision not in PRECISIONS:  # before a model is loaded for nothing
            raise ValueError(f"precision must be {' or '.join(PRECISIONS)}, not {precision!r}")
        config = AutoConfig.from_pretrained(source, trust_remote_code=True, **hub)
        if config.model_type == HubertBertConfig.model_type:
            classifier = pipeline(
                PIPELINE_TASK, model=str(source), trust_remote_code=True, **options
            )
            set_precision(classifier.model, precision)
            return classifier
        model, processor = load_standalone(source, **hub)
        set_precision(model, precision)
    options = {name: value for name, value in options.items() if name not in hub}
    return SpeechTextEmotionPipeline(
        model=model, processor=processor, task=PIPELINE_TASK, **options
    )


def load_standalone(
    source: str | os.PathLike, **hub: Any
) -> tuple[HubertBertForEmotion, AudioOnlyProcessor]:
    """Read a plain classifier of the wav2vec 2.0 family as a model of the voice alone.

    Args:
        source: folder or Hub id.
        hub: ``revision`` and ``token`` of the Hub.

    Returns:
        the model in evaluation mode, float32, and its processor.

    Raises:
        OSError: neither a folder nor reachable on the Hub.
        ValueError: another kind of model, or weights are missing.
    """
    plain, info = AutoModelForAudioClassification.from_pretrained(
        source, dtype=torch.float32, output_loading_info=True, **hub
    )
    refuse_random_parts(str(source), info)
    encoder = getattr(plain, plain.base_model_prefix, None)
    if not (hasattr(plain, "projector") and hasattr(encoder, "feature_extractor")):
        raise ValueError(
            f"{source}: {type(plain).__name__} is not read; HubertForSequenceClassification "
            "and its kin of wav2vec 2.0, WavLM and data2vec-audio are"
        )
    settings = {name: getattr(plain.config, name) for name in KEPT if hasattr(plain.config, name)}
    audio_config = plain.config.to_dict()
    settings |= audio_config.pop(FITTED, {})
    model = HubertBertForEmotion(
        HubertBertConfig(
            audio_config=audio_config,
            use_text=False,
            use_weighted_layer_sum=plain.config.use_weighted_layer_sum,
            id2label=plain.config.id2label,
            transcriber="none",
            **{"cleaning": AS_IT_IS.to_dict(), **settings},
        )
    )
    model.audio_model.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        weight, projector = plain.classifier.weight, plain.projector
        model.classifier.weight.copy_(weight @ projector.weight)
        model.classifier.bias.copy_(weight @ projector.bias + plain.classifier.bias)
        if plain.config.use_weighted_layer_sum:
            model.layer_weights.copy_(plain.layer_weights)
    model.config.name_or_path = str(source)
    return model.eval(), AudioOnlyProcessor(AutoFeatureExtractor.from_pretrained(source, **hub))


def save_standalone(
    model: HubertBertForEmotion, processor: Any, folder: str | os.PathLike
) -> PreTrainedModel:
    """Write a model of the voice alone as a plain classifier.

    The stock pipeline then gives the same answer, with no remote code: the temperature goes into
    the weights. It knows neither the cleaning nor the masks, though: clips must be cleaned before
    it, and given one by one.

    Args:
        model: a model without text whose pooling is the mean.
        processor: its processor, for the feature extractor.
        folder: made when it is not there.

    Returns:
        the plain model.

    Raises:
        ValueError: the model reads text, pools otherwise, or its encoder has no plain classifier.
    """
    config = model.config
    if config.use_text or config.audio_pooling != "mean" or config.concatenate_layers:
        raise ValueError(
            "only a model of the voice alone (use_text false) that pools by the mean of one "
            "layer, or of a sum of layers, can be written as a plain classifier"
        )
    if not hasattr(model.audio_model, "feature_extractor"):
        raise ValueError("a plain Whisper classifier hears 30 s at a time, and would differ")
    settings = {
        **config.audio_config.to_dict(),
        **{name: getattr(config, name) for name in KEPT},
        "id2label": config.id2label,
        "label2id": config.label2id,
        "classifier_proj_size": config.audio_config.hidden_size,
        "use_weighted_layer_sum": config.use_weighted_layer_sum,
    }
    kind = settings.pop("model_type")
    plain = AutoModelForAudioClassification.from_config(AutoConfig.for_model(kind, **settings))
    getattr(plain, plain.base_model_prefix).load_state_dict(model.audio_model.state_dict())
    with torch.no_grad():
        plain.projector.weight.copy_(torch.eye(config.audio_config.hidden_size))
        plain.projector.bias.zero_()
        plain.classifier.weight.copy_(model.classifier.weight / config.temperature)
        bias = model.classifier.bias + torch.tensor(config.logit_bias or 0.0)
        plain.classifier.bias.copy_(bias / config.temperature)
        if config.use_weighted_layer_sum:
            plain.layer_weights.copy_(model.layer_weights)
    plain.eval().save_pretrained(Path(folder))
    processor.feature_extractor.save_pretrained(folder)
    return plain

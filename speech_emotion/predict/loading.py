"""The one loader of models: the installed code around a custom, stock or ONNX checkpoint.

A model of this library (type ``hubert_bert``) is loaded with the installed classes, whatever code
lies in its folder or repo. Code of a model folder runs only with ``trust_remote_code=True``.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_emotion.predict import ModelError, PredictError
from speech_emotion.predict.onnx_model import OnnxPipeline, is_exported, load_onnx_pipeline

if TYPE_CHECKING:
    from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline

BACKENDS = ("torch", "onnx")

OWN_CODE = ("auto_map", "custom_pipelines")
"""Keys of a ``config.json`` that name code in the model folder."""

OF_MODEL = ("dtype", "device_map")
"""Options of ``transformers.pipeline`` that concern the weights."""


def quiet(*, backend: str | None = None) -> None:
    """Silence what transformers prints while it loads; call it before it is imported.

    Args:
        backend: with ``onnx`` transformers is not imported for it.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    if backend == "onnx":
        return
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def register_auto_classes() -> None:
    """Register the classes of this library with the auto classes of ``transformers``.

    From then on ``AutoConfig``, ``AutoModelForAudioClassification`` and ``AutoProcessor`` load a
    model of this library with the installed code and without ``trust_remote_code``.
    :func:`load_classifier` does not need it. It is not done on import, because ``transformers``
    prefers a registered class to the code of a folder even with ``trust_remote_code=True``: for an
    older folder it would then combine its pipeline with today's model.
    """
    from transformers import AutoConfig, AutoModelForAudioClassification, AutoProcessor

    from hub_model.configuration_hubert_bert import HubertBertConfig
    from hub_model.modeling_hubert_bert import HubertBertForEmotion
    from hub_model.processing_hubert_bert import HubertBertProcessor

    AutoConfig.register(HubertBertConfig.model_type, HubertBertConfig, exist_ok=True)
    AutoModelForAudioClassification.register(HubertBertConfig, HubertBertForEmotion, exist_ok=True)
    AutoProcessor.register(HubertBertConfig, HubertBertProcessor, exist_ok=True)


def load_classifier(
    source: str | os.PathLike,
    *,
    backend: str | None = None,
    precision: str = "fp32",
    trust_remote_code: bool = False,
    **options: Any,
) -> "SpeechTextEmotionPipeline | OnnxPipeline":
    """Load the pipeline of a model.

    Args:
        source: folder or Hub id of a custom checkpoint, or of a stock checkpoint of the wav2vec
            2.0 family (:mod:`speech_emotion.predict.stock_checkpoints`).
        backend: ``torch``; or ``onnx`` for an exported model, which imports neither torch nor
            transformers. The default is what the folder holds, torch if both.
        precision: ``fp32``; ``bf16`` (torch only) or ``int8`` for speed, see
            :mod:`speech_emotion.predict.precision`; or ``auto`` for what is fastest here and close,
            see :func:`~speech_emotion.predict.speed.chosen_precision`.
        trust_remote_code: run the Python code that the folder or repo brings. Without it a model
            of this library is loaded with the installed code, and a model that needs other code
            is refused.
        options: keyword arguments of ``transformers.pipeline``, among them those of
            :class:`~hub_model.pipeline_hubert_bert.SpeechTextEmotionPipeline`.

    Raises:
        ModelError: no such folder or repo, a damaged one, another kind of model, code that is not
            trusted, or a backend or precision that there is not.
        OnnxMissing: onnxruntime is needed and not installed.
    """
    name = os.fspath(source)
    try:
        if not Path(name).exists() and not is_hub_id(name):
            raise OSError("no such folder")
        return _load(name, backend, precision, trust_remote_code, options)
    except PredictError:
        raise
    except Exception as error:  # a folder with a damaged file fails in many ways
        reason = loading_reason(error).removeprefix(f"{name}: ").rstrip(".")
        if isinstance(error, OSError) and is_hub_id(name):
            reason += "; a local model folder needs no network"
        raise ModelError(f"{name}: {reason}") from error


def _load(
    source: str, backend: str | None, precision: str, trusted: bool, options: dict[str, Any]
) -> "SpeechTextEmotionPipeline | OnnxPipeline":
    options = dict(options)
    hub: dict[str, Any] = {
        name: options.pop(name) for name in ("revision", "token") if name in options
    }
    if backend not in (None, *BACKENDS):
        raise ValueError(f"backend must be {' or '.join(BACKENDS)}, not {backend!r}")
    if backend == "onnx" or (backend is None and is_exported(source)):
        return load_onnx_pipeline(source, precision, load_processor, hub=hub, **options)
    return _load_torch(source, precision, trusted, hub, options)


def _load_torch(
    source: str, precision: str, trusted: bool, hub: dict[str, Any], options: dict[str, Any]
) -> "SpeechTextEmotionPipeline":
    from transformers import PreTrainedConfig

    from hub_model.configuration_hubert_bert import PIPELINE_TASK, HubertBertConfig
    from hub_model.modeling_hubert_bert import HubertBertForEmotion
    from hub_model.pipeline_hubert_bert import SpeechTextEmotionPipeline
    from speech_emotion.predict.precision import set_precision
    from speech_emotion.predict.speed import CHOICES, chosen_precision
    from speech_emotion.predict.stock_checkpoints import load_stock_checkpoint

    if precision not in CHOICES:  # before a model is loaded for nothing
        raise ValueError(f"precision must be {' or '.join(CHOICES)}, not {precision!r}")
    settings, _ = PreTrainedConfig.get_config_dict(source, **hub)
    own_code = any(settings.get(key) for key in OWN_CODE)
    ours = settings.get("model_type") == HubertBertConfig.model_type
    if own_code and trusted and PIPELINE_TASK in (settings.get("custom_pipelines") or {}):
        classifier = _with_own_code(source, **hub, **options)
        precision = chosen_precision(classifier.model, classifier.processor, precision)
        set_precision(classifier.model, precision)
        return classifier
    if own_code and not trusted and not ours:
        raise ModelError(
            f"{source}: this model needs Python code of its own, which is not run; give "
            "--trust-remote-code (trust_remote_code=True) if you trust it"
        )
    of_model = {name: options.pop(name) for name in OF_MODEL if name in options}
    of_model |= options.pop("model_kwargs", {})
    if ours:
        model = HubertBertForEmotion.from_pretrained(source, **hub, **of_model)
        processor = load_processor(source, model.config, **hub)
    else:
        model, processor = load_stock_checkpoint(source, trust_remote_code=trusted, **hub)
    set_precision(model, chosen_precision(model, processor, precision))
    return SpeechTextEmotionPipeline(
        model=model, processor=processor, task=PIPELINE_TASK, **options
    )


def load_processor(source: str | os.PathLike, config: Any, **hub: Any) -> Any:
    """Load the processor of a custom checkpoint with the installed code.

    Args:
        source: folder or Hub id.
        config: config of the model.
        hub: ``revision`` and ``token`` of the Hub.
    """
    from hub_model.processing_hubert_bert import AudioOnlyProcessor, HubertBertProcessor

    kind = HubertBertProcessor if config.use_text else AudioOnlyProcessor
    if config.use_text:
        hub["config"] = config.text_config  # otherwise the tokenizer warns about the model's own
    return kind.from_pretrained(source, trust_remote_code=False, **hub)


def _with_own_code(source: str, **options: Any) -> Any:
    """The pipeline that the model's own code makes, as ``transformers`` loads it."""
    from transformers import pipeline

    from hub_model.configuration_hubert_bert import PIPELINE_TASK

    classifier = pipeline(PIPELINE_TASK, model=source, trust_remote_code=True, **options)
    if not getattr(classifier, "supports_text", False):
        raise ModelError(
            f"{source}: its {type(classifier).__name__} does not take the options of "
            "speech-emotion; call it with transformers.pipeline"
        )
    return classifier


def is_hub_id(model: str) -> bool:
    """Whether a name can only mean a repo on the Hub."""
    return not (Path(model).exists() or model.startswith((".", "/"))) and model.count("/") == 1


def loading_reason(error: Exception) -> str:
    """Shorten whatever a loader raised to the line that gives the reason."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "See the original errors" in lines[0]:
        # transformers quotes whole tracebacks; the cause is the last line of the last one.
        return lines[-1].removeprefix("ValueError: ").removeprefix("OSError: ")
    if "custom code" in lines[0]:
        return "it needs Python code of its own, which is not run; give --trust-remote-code"
    known = isinstance(error, OSError | ValueError | ImportError)
    return lines[0] if known else f"cannot be loaded ({type(error).__name__}: {lines[0]})"

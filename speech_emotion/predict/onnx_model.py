"""An exported model and its pipeline: onnxruntime and NumPy, neither torch nor transformers.

They start in a fraction of the time and of the memory. torch is loaded only for a transcriber that
needs it, and transformers for the inputs of a Whisper encoder.
"""

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from hub_model.calls import AUDIO_ONLY, NO_TRANSCRIBER, EmotionCalls
from hub_model.labels import EMOTIONS
from hub_model.levels import audible
from hub_model.scoring import ClipScorer
from hub_model.transcript import Transcriber, Transcript, weights_of
from speech_emotion.predict import ModelError, PredictError

FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_int8.onnx"}
"""Where the files are in a model folder, as elsewhere on the Hub."""

BESIDE = ["config.json", "preprocessor_config.json", "processor_config.json", "tokenizer*"]
"""Files beside them that are read."""

DEFAULTS: dict[str, Any] = {
    "id2label": dict(enumerate(EMOTIONS)),
    "use_text": True,
    "cleaning": None,
    "window_s": 15.0,
    "temperature": 1.0,
    "class_mean_logits": None,
    "logit_bias": None,
    "transcriber": "openai/whisper-base.en",
}
"""Defaults of :class:`~hub_model.configuration_hubert_bert.HubertBertConfig`, which may be left out
of a ``config.json``; a test compares them."""

PACKAGES = ("openai-whisper:", "faster-whisper:")
"""Beginnings of the names of transcribers that are no models of transformers."""


class OnnxMissing(PredictError, ImportError):
    """The packages for ONNX are not installed. The message is one line."""


def need(*names: str) -> list[Any]:
    """Import modules of the extra ``onnx``.

    Raises:
        OnnxMissing: one is not installed.
    """
    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        raise OnnxMissing(
            f'ONNX needs {error.name}; run pip install "speech-text-emotion[onnx]"'
        ) from error


class OnnxModel:
    """An exported model: the inputs of the torch one as arrays, its logits as an array.

    Args:
        config: settings of the model, see :data:`DEFAULTS`.
        file: the ``.onnx`` file.

    Raises:
        OnnxMissing: onnxruntime is not installed.
    """

    def __init__(self, config: SimpleNamespace, file: str | os.PathLike) -> None:
        self.config, self._file = config, str(file)
        self._process = os.getpid()
        self._session = self._open(threads=0)

    def _open(self, *, threads: int) -> Any:
        (onnxruntime,) = need("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
        # Waiting threads that do not sleep take the time of everything else on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self._file, options, providers=["CPUExecutionProvider"])

    def __call__(self, **inputs: Any) -> np.ndarray:
        """Classify a batch; arguments as in ``HubertBertForEmotion.forward``, arrays or tensors.

        Returns:
            float32 ``(batch, num_labels)``.

        Raises:
            ValueError: there is no audio, which an exported model needs.
        """
        if os.getpid() != self._process:  # a copy of this process has none of its threads
            self._session, self._process = self._open(threads=1), os.getpid()
        sound = inputs.get("input_values", inputs.get("input_features"))
        if sound is None:
            raise ValueError("an exported model needs audio; it cannot classify text only")
        if self.config.use_text and "input_ids" not in inputs:
            # A mask of zeros stands for a missing transcript.
            none = np.zeros((len(sound), 1), dtype=np.int64)
            inputs |= {"input_ids": none, "text_attention_mask": none}
        names = [node.name for node in self._session.get_inputs()]
        feed = {name: np.asarray(inputs[name]) for name in names}
        return self._session.run(["logits"], feed)[0]


class OnnxProcessor:
    """Waveforms and transcripts to arrays, as ``HubertBertProcessor`` makes tensors of them.

    Args:
        folder: of the model: ``preprocessor_config.json`` or ``processor_config.json`` of a wav2vec
            2.0 feature extractor and, for a model with text, ``tokenizer.json`` and
            ``tokenizer_config.json``.
        use_text: whether the model reads text.
    """

    def __init__(self, folder: Path, *, use_text: bool) -> None:
        alone = folder / "preprocessor_config.json"
        settings = (
            _json(alone)
            if alone.is_file()
            else _json(folder / "processor_config.json").get("feature_extractor", {})
        )
        self._normalise = settings.get("do_normalize", True)
        self._tokenizer = _tokenizer(folder) if use_text else None

    def __call__(self, audio: Any = None, text: Any = None) -> dict[str, np.ndarray]:
        """Build one padded batch; see ``HubertBertProcessor.__call__``."""
        batch: dict[str, np.ndarray] = {}
        if audio is not None:
            waveforms = [self._values(waveform) for waveform in audio]
            shape = (len(waveforms), max(waveform.size for waveform in waveforms))
            batch["input_values"] = np.zeros(shape, dtype=np.float32)
            batch["attention_mask"] = np.zeros(shape, dtype=np.int64)
            for place, waveform in enumerate(waveforms):
                batch["input_values"][place, : waveform.size] = waveform
                batch["attention_mask"][place, : waveform.size] = 1
        texts = [(entry or "").strip() for entry in text or ()]
        if any(texts) and self._tokenizer is not None:
            rows = self._tokenizer.encode_batch(texts)
            masks = [
                row.attention_mask if entry else [0] * len(row.ids)
                for row, entry in zip(rows, texts, strict=True)
            ]
            batch["input_ids"] = np.array([row.ids for row in rows], dtype=np.int64)
            batch["text_attention_mask"] = np.array(masks, dtype=np.int64)
        return batch

    def _values(self, waveform: np.ndarray) -> np.ndarray:
        waveform = audible(waveform)
        if not self._normalise:
            return waveform
        return (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    settings = _json(folder / "tokenizer_config.json")
    longest = settings.get("model_max_length") or 0
    if 0 < longest < 1e9:
        tokenizer.enable_truncation(longest)
    else:
        tokenizer.no_truncation()
    pad = settings.get("pad_token") or settings.get("eos_token")  # the mask hides which one it is
    pad = pad["content"] if isinstance(pad, dict) else pad
    pad = pad or "[PAD]"
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad) or 0, pad_token=pad)
    return tokenizer


class _LateTranscriber:
    """A transcriber of transformers that is imported only when its weights are there."""

    def __init__(self, name: str, settings: dict[str, Any]) -> None:
        self.name, self._settings = name, settings
        self._loaded: Transcriber | None = None

    def load(self) -> None:
        if self._loaded is None:
            if self._settings["cache"] is None:
                weights_of(self.name)
            self._loaded = _make_transcriber(self.name, self._settings)
        self._loaded.load()

    def transcribe(self, waveforms: Any) -> list[Transcript]:
        self.load()
        assert self._loaded is not None
        return self._loaded.transcribe(waveforms)

    def transcribe_words(self, speech: np.ndarray) -> Transcript | None:
        self.load()
        assert self._loaded is not None
        return self._loaded.transcribe_words(speech)


def _make_transcriber(name: str, settings: dict[str, Any]) -> Any:
    from hub_model.transcription import make_transcriber

    return make_transcriber(name, **settings)


class OnnxPipeline(EmotionCalls):
    """The pipeline of an exported model.

    It is called as :class:`~hub_model.pipeline_hubert_bert.SpeechTextEmotionPipeline`, whose
    documentation holds here, except ``contributions``, which needs a text-only prediction.

    Args:
        model, processor: of :func:`load_onnx`.
        transcriber, language, transcript_cache, short_context, batch_size, num_workers, options:
            as for that pipeline.
    """

    def __init__(
        self,
        model: OnnxModel,
        processor: Any,
        *,
        transcriber: str | None = None,
        language: str | None = None,
        transcript_cache: str | os.PathLike | None = None,
        short_context: bool = False,
        batch_size: int | None = None,
        num_workers: int | str | None = None,
        **options: Any,
    ) -> None:
        self.model, self.processor = model, processor
        self._batch_size, self._num_workers = batch_size, num_workers
        self._preprocess_params, _, self._postprocess_params = self._sanitize_parameters(**options)
        name = transcriber or model.config.transcriber
        settings = {
            "language": language,
            "cache": transcript_cache,
            "short_context": short_context,
        }
        why_not = None if name and name != "none" else NO_TRANSCRIBER
        self.transcriber: Transcriber | None = None
        if not model.config.use_text:
            why_not = AUDIO_ONLY
        elif why_not is None:
            is_late = not name.startswith(PACKAGES)
            make = _LateTranscriber if is_late else _make_transcriber
            self.transcriber = make(name, settings)
        self._scorer = ClipScorer(processor, self._logits, self.transcriber, why_not)

    def forward(self, clips: Any, **options: Any) -> Any:
        """See :meth:`EmotionCalls._forward`."""
        return self._forward(clips, **options)

    def _logits(self, inputs: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits; an exported model has no further heads."""
        return self.model(**inputs) + self._bias(self.model.config.logit_bias), {}


def is_exported(source: str | os.PathLike) -> bool:
    """Whether a folder holds an exported model and no weights of torch."""
    folder = Path(source)
    weights = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    return any((folder / file).is_file() for file in FILES.values()) and not any(
        (folder / file).is_file() for file in weights
    )


def load_onnx(source: str | os.PathLike, precision: str = "fp32", **hub: Any) -> OnnxModel:
    """Load what :func:`~speech_emotion.predict.onnx_export.export_onnx` wrote.

    Args:
        source: folder or Hub id.
        precision: ``fp32``, for which ``auto`` stands too, or ``int8``.
        hub: ``revision`` and ``token`` of the Hub.

    Raises:
        ValueError: another precision, or the folder has no such file.
        OnnxMissing: onnxruntime is not installed.
    """
    return _load(source, precision, hub)[1]


def load_onnx_pipeline(
    source: str | os.PathLike,
    precision: str,
    other_processor: Callable[..., Any],
    *,
    hub: dict[str, Any],
    **options: Any,
) -> OnnxPipeline:
    """Load an exported model with its pipeline; see :func:`load_onnx`.

    Args:
        other_processor: from folder and config makes the processor of transformers, which is
            needed for a Whisper encoder.

    Raises:
        ModelError: its config is that of another kind of model.
    """
    folder, model = _load(source, precision, hub)
    settings = _json(folder / "config.json")
    if settings.get("model_type") != "hubert_bert":
        raise ModelError(f"{source}: config.json is not that of an exported model")
    whisper = (settings.get("audio_config") or {}).get("model_type") == "whisper"
    has_tokenizer = (folder / "tokenizer.json").is_file()
    if whisper or (model.config.use_text and not has_tokenizer):
        from hub_model.configuration_hubert_bert import HubertBertConfig

        processor = other_processor(folder, HubertBertConfig.from_pretrained(folder))
    else:
        processor = OnnxProcessor(folder, use_text=model.config.use_text)
    return OnnxPipeline(model, processor, **options)


def _load(source: str | os.PathLike, precision: str, hub: dict[str, Any]) -> tuple[Path, OnnxModel]:
    precision = "fp32" if precision == "auto" else precision
    if precision not in FILES:
        raise ValueError(f"with ONNX, precision must be {' or '.join(FILES)}, not {precision!r}")
    folder = Path(source)
    if not folder.exists():
        from huggingface_hub import snapshot_download

        patterns = [*BESIDE, FILES[precision]]
        folder = Path(snapshot_download(str(source), allow_patterns=patterns, **hub))
    file = folder / FILES[precision]
    if not file.is_file():
        flag = " --int8" if precision == "int8" else ""
        raise ValueError(f"{source}: no {FILES[precision]}; run speech-emotion export --onnx{flag}")
    settings = _json(folder / "config.json")
    known = {name: settings.get(name, default) for name, default in DEFAULTS.items()}
    known["id2label"] = {int(index): label for index, label in known["id2label"].items()}
    config = SimpleNamespace(**known, num_labels=len(known["id2label"]), name_or_path=str(source))
    return folder, OnnxModel(config, file)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is damaged: no JSON object")
    return found

"""The model as an ONNX file: written from torch, and run by onnxruntime in its place.

Both need ``pip install "speech-text-emotion[onnx]"``. A file takes batches of any size and length,
with their masks; a clip has the same result in a batch as by itself, as in torch.
"""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from torch import nn
from transformers import PreTrainedModel

from hub_model.audio import SAMPLING_RATE
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.modeling_hubert_bert import EmotionOutput, HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.predict import PredictError

FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_int8.onnx"}
"""Where the files are in a model folder, as elsewhere on the Hub."""

BLOCK = 32
"""Number of 8-bit weights, and of inputs, that share a scale: with one scale for all inputs of a
layer, probabilities change several times as much. Only linear layers are quantised: convolutions
lose more than they gain."""

WORDS = ("one two three", "four")
"""Two texts of different lengths: an export takes its shapes from them, not its values."""


class OnnxMissing(PredictError, ImportError):
    """The packages for ONNX are not installed. The message is one line."""


def _need(*names: str) -> list[Any]:
    try:
        return [import_module(name) for name in names]
    except ImportError as error:
        raise OnnxMissing(
            f'ONNX needs {error.name}; run pip install "speech-text-emotion[onnx]"'
        ) from error


class _Logits(nn.Module):
    """The model with positional tensors as input and one tensor as output, as ONNX needs it."""

    def __init__(self, model: HubertBertForEmotion, names: list[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def export_onnx(
    model: HubertBertForEmotion,
    processor: HubertBertProcessor,
    folder: str | os.PathLike,
    *,
    int8: bool = False,
) -> list[Path]:
    """Write a folder that :func:`load_onnx` reads.

    Args:
        model: a model with float32 weights, on the CPU.
        processor: its processor.
        folder: made when it does not exist; may be the model's own.
        int8: write the file with 8-bit linear layers as well.

    Returns:
        the files, fp32 first.

    Raises:
        OnnxMissing: a package is not installed.
    """
    onnx, _, _ = _need("onnx", "onnxscript", "onnxruntime")
    folder = Path(folder)
    inputs = example_inputs(model.config, processor)
    free = torch.export.Dim.DYNAMIC
    shapes = tuple({0: free, _length_axis(name): free} for name in inputs)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Logits(model, list(inputs)).eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=list(inputs),
            output_names=["logits"],
            verbose=False,
        )
    paths = [folder / FILES["fp32"]]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as scratch:
        fresh = Path(scratch) / "model.onnx"
        onnx.save(program.model_proto, fresh)
        if int8:
            paths.append(folder / FILES["int8"])
            _quantise(fresh, Path(scratch) / "int8.onnx")
            shutil.move(Path(scratch) / "int8.onnx", paths[1])
        shutil.move(fresh, paths[0])
    return paths


def _length_axis(name: str) -> int:
    return 2 if name == "input_features" else 1


def example_inputs(
    config: HubertBertConfig, processor: HubertBertProcessor, *, seconds: float = 1.0
) -> dict[str, torch.Tensor]:
    """Two clips of noise of different lengths, with texts if the model reads any."""
    draw = np.random.default_rng(0)
    sizes = (round(seconds * SAMPLING_RATE), round(seconds * 0.7 * SAMPLING_RATE))
    noise = [draw.normal(0, 0.1, size).astype(np.float32) for size in sizes]
    return dict(processor(audio=noise, text=WORDS if config.use_text else None))


def _quantise(source: Path, target: Path) -> None:
    with _quiet():
        onnx, nbits = _need("onnx", "onnxruntime.quantization.matmul_nbits_quantizer")
        quantizer = nbits.MatMulNBitsQuantizer(
            onnx.load(source),
            bits=8,
            block_size=BLOCK,
            is_symmetric=True,
            accuracy_level=4,  # inputs in 8 bits as well
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(target), False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which warn of packages that are not installed and of their own
    deprecations. One of them also configures logging for the whole program on import."""
    root = logging.root
    before, handlers, level = root.manager.disable, root.handlers[:], root.level
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.handlers[:] = handlers
        root.setLevel(level)


class OnnxEmotion(PreTrainedModel):
    """An exported model in place of the torch one: the same inputs, the same logits.

    It holds no weights of its own and runs on the CPU.

    Args:
        config: config of the exported model.
        file: the ``.onnx`` file.

    Raises:
        OnnxMissing: onnxruntime is not installed.
    """

    config_class = HubertBertConfig
    main_input_name = "input_values"
    # The file contains the attention, whichever implementation the config names.
    _supports_sdpa = _supports_flash_attn = True

    def __init__(self, config: HubertBertConfig, file: str | os.PathLike) -> None:
        super().__init__(config)
        (onnxruntime,) = _need("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        self._names = [node.name for node in self._session.get_inputs()]
        self.eval()

    @property
    def device(self) -> torch.device:
        """Always the CPU."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Type of the inputs and of the logits."""
        return torch.float32

    def forward(self, **inputs: torch.Tensor) -> EmotionOutput:
        """Classify a batch; arguments as in :meth:`HubertBertForEmotion.forward`.

        Raises:
            ValueError: there is no audio, which an exported model needs.
        """
        sound = inputs.get("input_values", inputs.get("input_features"))
        if sound is None:
            raise ValueError("an exported model needs audio; it cannot classify text only")
        if self.config.use_text and "input_ids" not in inputs:
            # A mask of zeros stands for a missing transcript.
            inputs["input_ids"] = torch.zeros(sound.shape[0], 1, dtype=torch.long)
            inputs["text_attention_mask"] = torch.zeros(sound.shape[0], 1, dtype=torch.long)
        feed = {name: inputs[name].numpy() for name in self._names}
        (logits,) = self._session.run(["logits"], feed)
        return EmotionOutput(logits=torch.from_numpy(logits))


def load_onnx(source: str | os.PathLike, precision: str = "fp32", **hub: Any) -> OnnxEmotion:
    """Load what :func:`export_onnx` wrote.

    Args:
        source: folder or Hub id.
        precision: ``fp32`` or ``int8``.
        hub: ``revision`` and ``token`` of the Hub.

    Raises:
        ValueError: another precision, or the folder has no such file.
        OnnxMissing: onnxruntime is not installed.
    """
    if precision not in FILES:
        raise ValueError(f"with ONNX, precision must be {' or '.join(FILES)}, not {precision!r}")
    folder = Path(source)
    if not folder.exists():
        patterns = ["config.json", FILES[precision]]
        folder = Path(snapshot_download(str(source), allow_patterns=patterns, **hub))
    file = folder / FILES[precision]
    if not file.is_file():
        flag = " --int8" if precision == "int8" else ""
        raise ValueError(f"{source}: no {FILES[precision]}; run speech-emotion export --onnx{flag}")
    config = HubertBertConfig.from_pretrained(folder)
    config.name_or_path = str(source)
    config.tasks = None  # an exported model has the logits only
    return OnnxEmotion(config, file)


def parity(
    model: HubertBertForEmotion, exported: OnnxEmotion, processor: HubertBertProcessor
) -> tuple[float, float]:
    """Compare an exported model with the torch one on generated clips, singly and in batches.

    Returns:
        the largest difference of a probability, and the share of clips with the same top label.
    """
    differences, same = [], []
    for seconds in (0.4, 1.0, 2.3):
        pair = example_inputs(model.config, processor, seconds=seconds)
        for inputs in (pair, {name: tensor[:1] for name, tensor in pair.items()}):
            with torch.inference_mode():
                exact = (model(**inputs).logits / model.config.temperature).softmax(-1)
                found = (exported(**inputs).logits / model.config.temperature).softmax(-1)
            differences.append(float((found - exact).abs().max()))
            same += (found.argmax(-1) == exact.argmax(-1)).tolist()
    return max(differences), sum(same) / len(same)

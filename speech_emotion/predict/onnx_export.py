"""Writing a model as ONNX files, and comparing them with torch.

Needs ``pip install "speech-text-emotion[onnx]"``. A file takes batches of any size and length, with
their masks; a clip has the same result in a batch as by itself, as in torch.
"""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from hub_model.audio import SAMPLING_RATE
from hub_model.configuration_hubert_bert import HubertBertConfig
from hub_model.modeling_hubert_bert import HubertBertForEmotion
from hub_model.processing_hubert_bert import HubertBertProcessor
from speech_emotion.predict.onnx_model import FILES, OnnxModel, need

BLOCK = 32
"""Number of 8-bit weights, and of inputs, that share a scale: with one scale for all inputs of a
layer, probabilities change several times as much. Only linear layers are quantised: convolutions
lose more than they gain."""

WORDS = ("one two three", "four")
"""Two texts of different lengths: an export takes its shapes from them, not its values."""


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
    """Write a folder that :func:`~speech_emotion.predict.onnx_model.load_onnx` reads.

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
    onnx, _, _ = need("onnx", "onnxscript", "onnxruntime")
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
        onnx, nbits = need("onnx", "onnxruntime.quantization.matmul_nbits_quantizer")
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


def parity(
    model: HubertBertForEmotion, exported: OnnxModel, processor: HubertBertProcessor
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
                logits = torch.from_numpy(exported(**inputs))
                found = (logits / model.config.temperature).softmax(-1)
            differences.append(float((found - exact).abs().max()))
            same += (found.argmax(-1) == exact.argmax(-1)).tolist()
    return max(differences), sum(same) / len(same)

"""How fast a model is in reduced precision on this machine: measured once, and kept on disk."""

import contextlib
import copy
import hashlib
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants

from hub_model.audio import SAMPLING_RATE
from speech_emotion.predict import PredictWarning
from speech_emotion.predict.precision import PRECISIONS, set_precision
from speech_emotion.predict.writers.base import written_whole

AUTO = "auto"

CHOICES = (AUTO, *PRECISIONS)

CLOSE = "bf16"
"""The only reduced precision that ``auto`` may choose: 99 of 100 labels are those of fp32."""

WORTH = 1.2
"""``auto`` chooses it when it is so many times as fast as fp32."""

SECONDS = 2.0
"""Length of the noise that is classified to measure."""

TIMES, BUDGET_S = 3, 1.0
"""Most runs of each precision, of which the fastest counts, and seconds after which none begins."""


def chosen_precision(model: Any, processor: Any, precision: str) -> str:
    """The precision to use for a loaded float32 model.

    ``auto`` is bf16 on a CPU with instructions for it, if a measurement shows that it is faster;
    otherwise fp32. A precision that was asked for and is slower than fp32 here is used, with one
    warning that says how much slower. Measurements take some seconds and are kept in
    ``HF_HOME``.

    Args:
        model, processor: as loaded, on the CPU or not.
        precision: one of :data:`CHOICES`.

    Returns:
        one of :data:`~speech_emotion.predict.precision.PRECISIONS`.

    Raises:
        ValueError: this machine does not support 8-bit layers.
    """
    if precision == "fp32" or model.device.type != "cpu":
        return "fp32" if precision == AUTO else precision
    if precision == AUTO:
        fast = has_bf16() and ratio_to_fp32(model, processor, CLOSE) >= WORTH
        return CLOSE if fast else "fp32"
    ratio = ratio_to_fp32(model, processor, precision)
    if ratio < 1:
        warnings.warn(
            f"on this machine {precision} is {ratio:.2f} times as fast as fp32, measured on "
            f"{SECONDS:g} s of audio; the precision auto takes the faster one",
            PredictWarning,
            stacklevel=2,
        )
    return precision


def has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself (``avx512_bf16`` or ``amx_bf16``)."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def ratio_to_fp32(model: Any, processor: Any, precision: str) -> float:
    """How many times as fast as fp32 the model is, from disk if it was measured before."""
    file = Path(constants.HF_HOME) / "speech-text-emotion" / "speed.json"
    key = _key(model, precision)
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    if isinstance(known.get(key), float):
        return known[key]
    ratio = measured_ratio(model, processor, precision)
    with contextlib.suppress(OSError), written_whole(file) as out:  # or it is measured again
        out.write(json.dumps({**known, key: ratio}, indent=2).encode())
    return ratio


def measured_ratio(model: Any, processor: Any, precision: str) -> float:
    """Classify noise in both precisions; the model stays as it is."""
    reduced = set_precision(copy.deepcopy(model), precision)
    noise = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * SAMPLING_RATE))
    inputs = processor(audio=[noise.astype(np.float32)])
    seconds = []
    for one in (model, reduced):
        runs: list[float] = []
        with torch.inference_mode():
            one(**inputs)  # the first call sets things up
            while len(runs) < TIMES and sum(runs) < BUDGET_S:
                start = time.perf_counter()
                one(**inputs)
                runs.append(time.perf_counter() - start)
        seconds.append(min(runs))
    return seconds[0] / seconds[1]


def _key(model: Any, precision: str) -> str:
    """Names the machine, the version of torch and the sizes of the model."""
    shapes = [(name, tuple(part.shape)) for name, part in model.named_parameters()]
    sizes = hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]
    return "; ".join(
        (_cpu(), f"{torch.get_num_threads()} threads", torch.__version__, sizes, precision)
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features")
    facts = sorted({line for line in lines if line.split("\t")[0].strip() in wanted})
    name = next((f.partition(":")[2].strip() for f in facts if f.startswith("model name")), "")
    flags = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]
    return f"{name or platform.machine()} {flags}"

"""Clips per second of the pipeline, beside the stock pipeline with the same weights.

    python benchmarks/throughput.py --data ../shared/data

The reference is ``pipeline("audio-classification", model=folder)`` with file names, with its
defaults (one clip at a time, decoded by ffmpeg) and, with ``--stock-batch-sizes``, in batches; the
fastest of these counts. All run in one process, with the same random weights of the size of HuBERT
base, on the same files, alternately: each predicts the first part of the files, then each the
second, so that a slow minute of the machine affects all of them. Cleaning, transcription and the
check for speech are off. See ``random_hubert.py`` for the head. The predictions are compared with
those of the stock pipeline on the waveforms of our decoder: ffmpeg resamples differently, which is
not measured here.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import Pipeline, pipeline  # noqa: E402
from transformers.utils import logging  # noqa: E402

from benchmarks.random_hubert import (  # noqa: E402
    agreement,
    probabilities,
    real_clips,
    write_random_hubert,
)
from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from corpus_builder import provenance  # noqa: E402
from hub_model.audio import SAMPLING_RATE, load_audio  # noqa: E402
from speech_emotion.predict.loading import load_classifier  # noqa: E402

SMALL = {
    "conv_dim": (64,) * 7,
    "hidden_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
}
"""A small model, to test the script; not for figures."""


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, data="folder of clips, searched below")
    parser.add_argument("--clips", type=int, default=500, help="number of clips (%(default)s)")
    parser.add_argument(
        "--turns", type=int, default=10, help="number of parts of the files (%(default)s)"
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["fp32", "bf16", "int8"],
        help="precisions of the pipeline (fp32 bf16 int8)",
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 8], help="of the pipeline (1 8)"
    )
    parser.add_argument(
        "--stock-batch-sizes", type=int, nargs="+", default=[1], help="of the stock pipeline (1)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that decode (%(default)s)"
    )
    parser.add_argument("--small", action="store_true", help="a small model, to test the script")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    files = real_clips(arguments.data, arguments.clips)
    with tempfile.TemporaryDirectory() as folder:
        write_random_hubert(
            Path(folder), files[:: len(files) // 8], **SMALL if arguments.small else {}
        )
        stock = pipeline("audio-classification", model=folder)
        runs = _runs(folder, stock, arguments)
        seconds, predictions = _time(runs, files, arguments.turns)
        exact = probabilities([stock(_waveform(file), top_k=None) for file in files])
    fastest = min((name for name in runs if name.startswith("stock")), key=seconds.__getitem__)
    figures = {
        "what": "clips a second beside the stock transformers audio-classification pipeline",
        "model": "small, random weights" if arguments.small else "HuBERT base, random weights",
        "clips": len(files),
        "peer": fastest,
        "rows": {
            name: {
                "clips_per_second": round(len(files) / seconds[name], 2),
                "ratio": round(seconds[fastest] / seconds[name], 2),
                **agreement(predictions[name], exact),
            }
            for name in runs
        },
    }
    write_figures(
        arguments.json,
        figures,
        machine={"threads": torch.get_num_threads()},
        packages=(*provenance.PACKAGES, "torch"),
    )
    print(json.dumps({key: figures[key] for key in ("peer", "rows")}, indent=2))


def _waveform(file: str) -> dict[str, Any]:
    return {"raw": load_audio(file), "sampling_rate": SAMPLING_RATE}


def _runs(
    folder: str, stock: Pipeline, arguments: argparse.Namespace
) -> dict[str, Callable[[list[str]], Any]]:
    """The timed functions, by name."""
    runs: dict[str, Callable[[list[str]], Any]] = {}
    for size in arguments.stock_batch_sizes:
        # Its batches are not masked: their predictions differ, only their speed is compared.
        runs[f"stock, batch {size}"] = lambda files, size=size: stock(
            files, top_k=None, batch_size=size
        )
    for precision in arguments.precisions:
        classifier = load_classifier(folder, precision=precision)
        for size in arguments.batch_sizes:
            runs[f"{precision}, batch {size}"] = lambda files, size=size, ours=classifier: ours(
                files,
                clean=False,
                check_speech=False,
                batch_size=size,
                num_workers=arguments.workers,
            )
    return runs


def _time(
    runs: dict[str, Callable[[list[str]], Any]], files: list[str], turns: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Seconds for all files, and the predictions ``(clips, 7)`` in their order, by name."""
    seconds = dict.fromkeys(runs, 0.0)
    predictions: dict[str, list[np.ndarray]] = {name: [] for name in runs}
    for run in runs.values():
        run(files[:4])  # the first call is not timed
    bounds = [len(files) * turn // turns for turn in range(turns + 1)]
    for first, last in itertools.pairwise(bounds):
        for name, run in runs.items():
            start = time.perf_counter()
            found = run(files[first:last])
            seconds[name] += time.perf_counter() - start
            predictions[name].append(probabilities(found))
    return seconds, {name: np.concatenate(parts) for name, parts in predictions.items()}


if __name__ == "__main__":
    main()

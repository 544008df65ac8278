"""Predictions in batches beside those of single clips, on real clips of mixed length.

    python benchmarks/batch_parity.py --data ../shared/data

HuBERT base with random weights (its group norm is over the whole clip, padding included, in
``transformers``), and a checkpoint; each predicts the clips one by one and then in batches. The
pipeline sorts clips into batches of similar length, so the model is also given them in random
order, where padding is longest.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
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


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(
        __doc__,
        __file__,
        data="folder of clips, searched below",
        model="checkpoint to compare, folder or Hub id",
        trust_remote_code=True,
    )
    parser.add_argument("--clips", type=int, default=64, help="number of clips (%(default)s)")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[4, 16], help="batch sizes (4 16)"
    )
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    files = real_clips(arguments.data, arguments.clips)
    np.random.default_rng(0).shuffle(files)
    seconds = [load_audio(file).size / SAMPLING_RATE for file in files]
    with tempfile.TemporaryDirectory() as folder:
        write_random_hubert(Path(folder), files[:4])
        models = {
            "HuBERT base, random weights": folder,
            Path(arguments.model).name: arguments.model,
        }
        rows = {name: _compare(source, files, arguments) for name, source in models.items()}
    figures = {
        "what": "probabilities in batches beside those of single clips",
        "clips": len(files),
        "seconds": [round(min(seconds), 2), round(max(seconds), 2)],
        "models": rows,
    }
    write_figures(arguments.json, figures, packages=(*provenance.PACKAGES, "torch"))
    print(json.dumps(rows, indent=2))


def _compare(
    source: str, files: list[str], arguments: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    classifier = load_classifier(
        source, trust_remote_code=arguments.trust_remote_code, transcriber="none"
    )
    waveforms = [load_audio(file) for file in files]
    sizes = arguments.batch_sizes
    found = {size: classifier(files, batch_size=size, top_k=None) for size in (1, *sizes)}
    exact = probabilities(found.pop(1))
    rows = {
        f"pipeline, batch {size}": agreement(probabilities(predictions), exact)
        for size, predictions in found.items()
    }
    model, processor = classifier.model, classifier.processor
    single = _model(model, processor, waveforms, 1)
    for size in sizes:
        batches = _model(model, processor, waveforms, size)
        rows[f"model, batch {size}, lengths mixed"] = agreement(batches, single)
    return rows


@torch.inference_mode()
def _model(model: Any, processor: Any, waveforms: list[np.ndarray], size: int) -> np.ndarray:
    rows = [
        (model(**dict(processor(audio=waveforms[start : start + size]))).logits).softmax(-1)
        for start in range(0, len(waveforms), size)
    ]
    return torch.cat(rows).numpy()


if __name__ == "__main__":
    main()

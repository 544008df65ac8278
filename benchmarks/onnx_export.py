"""ONNX files beside torch: size, speed, and differences of the probabilities.

    python benchmarks/onnx_export.py --data ../shared/data

Two models: one of the size of HuBERT base with random weights, see ``random_hubert.py``, and a
trained one. Each predicts the same clips with torch and with the fp32 and int8 files, one clip at a
time, in one process; only the model is timed, not the decoding. Needs the extra ``onnx``.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers.utils import logging  # noqa: E402

from benchmarks.random_hubert import agreement, real_clips, write_random_hubert  # noqa: E402
from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from benchmarks.throughput import SMALL  # noqa: E402
from corpus_builder import provenance  # noqa: E402
from hub_model.audio import load_audio  # noqa: E402
from speech_emotion.predict.loading import load_classifier  # noqa: E402
from speech_emotion.predict.onnx_export import export_onnx  # noqa: E402
from speech_emotion.predict.onnx_model import load_onnx  # noqa: E402


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(
        __doc__,
        __file__,
        data="folder of clips, searched below",
        model="trained model, folder or Hub id",
        trust_remote_code=True,
    )
    parser.add_argument("--clips", type=int, default=64, help="number of clips (%(default)s)")
    parser.add_argument("--small", action="store_true", help="a small model, to test the script")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    files = real_clips(arguments.data, arguments.clips)
    waveforms = [load_audio(file) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        write_random_hubert(Path(folder), files[:4], **SMALL if arguments.small else {})
        size = "small" if arguments.small else "HuBERT base"
        models = {f"{size}, random weights": folder, Path(arguments.model).name: arguments.model}
        rows = {
            name: _compare(source, waveforms, arguments.trust_remote_code)
            for name, source in models.items()
        }
    figures = {
        "what": "exported ONNX files beside torch, audio-only, one clip at a time",
        "clips": len(files),
        "models": rows,
    }
    write_figures(
        arguments.json,
        figures,
        machine={"threads": torch.get_num_threads()},
        packages=(*provenance.PACKAGES, "torch"),
    )
    print(json.dumps(rows, indent=2))


def _compare(source: str, waveforms: list[np.ndarray], trust: bool) -> dict[str, Any]:
    classifier = load_classifier(source, trust_remote_code=trust, transcriber="none")
    model, processor = classifier.model, classifier.processor
    weights = sum(p.numel() * p.element_size() for p in model.state_dict().values())
    exact, base = _time(model, processor, waveforms)
    rows: dict[str, Any] = {"torch": {"mib": round(weights / 2**20, 1), "ratio": 1.0}}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        files = export_onnx(model, processor, folder, int8=True)
        rows["export_seconds"] = round(time.perf_counter() - start, 1)
        for precision, file in zip(("fp32", "int8"), files, strict=True):
            exported = load_onnx(folder, precision)
            found, seconds = _time(exported, processor, waveforms)
            rows[f"onnx {precision}"] = {
                "mib": round(file.stat().st_size / 2**20, 1),
                "ratio": round(base / seconds, 2),
                **agreement(found, exact),
            }
    return rows


def _time(model: Any, processor: Any, waveforms: list[np.ndarray]) -> tuple[np.ndarray, float]:
    rows, seconds = [], 0.0
    with torch.inference_mode():
        for waveform in waveforms[:1] + waveforms:  # the first call is not timed
            inputs = dict(processor(audio=[waveform]))
            start = time.perf_counter()
            logits = model(**inputs)
            seconds += (time.perf_counter() - start) * bool(rows)
            logits = torch.as_tensor(getattr(logits, "logits", logits))
            rows.append((logits[0] / model.config.temperature).softmax(-1).numpy())
    return np.stack(rows[1:]), seconds


if __name__ == "__main__":
    main()

"""Time of an epoch with both encoders frozen, with cached vectors and without.

    python benchmarks/head_training.py --data corpus --clips 1000

Both runs are train.py with the same settings; the reference runs the encoders in every epoch. They
have the size of HuBERT base and BERT base, with random weights, which does not change the time.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from speech_emotion.training import fit, multimodal, run  # noqa: E402
from speech_emotion.training.config import TrainConfig  # noqa: E402
from speech_emotion.training.provenance import PACKAGES  # noqa: E402


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__)
    parser.add_argument("--data", required=True, help="folder or Hub id of a built corpus")
    parser.add_argument("--clips", type=int, default=1000, help="number of clips (%(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="epochs with the cache (%(default)s)")
    parser.add_argument(
        "--peer-epochs", type=int, default=1, help="epochs without the cache (%(default)s)"
    )
    parser.add_argument("--audio-only", action="store_true", help="no text encoder")
    parser.add_argument(  # old name
        "--voice", dest="audio_only", action="store_true", help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    settings = {
        "data": arguments.data,
        "model": {"use_text": False} if arguments.audio_only else {},
        "unfreeze": "head",
        "validation": "none",
        "limit": arguments.clips,
        "per_device_train_batch_size": 16,
        "gradient_accumulation_steps": 1,
    }
    with tempfile.TemporaryDirectory() as folder:
        with _measured() as cached:
            _run(settings, Path(folder) / "cached", arguments.epochs)
        with _measured(cache=False) as peer:
            _run(settings, Path(folder) / "peer", arguments.peer_epochs)
    epoch, slow = (min(times["epochs"]) for times in (cached, peer))
    figures = {
        "what": "train.py with frozen encoders of base size, beside itself without the cache",
        "clips": cached["clips"],
        "encoders": "HuBERT base" if arguments.audio_only else "HuBERT base and BERT base",
        "seconds": {
            "the one pass": round(cached["pass"], 2),
            "epoch with the cache": [round(value, 3) for value in cached["epochs"]],
            "epoch without": [round(value, 2) for value in peer["epochs"]],
        },
        "ratio of an epoch": round(slow / epoch, 1),
        "ratio of six epochs, the pass included": round(6 * slow / (cached["pass"] + 6 * epoch), 2),
    }
    write_figures(
        arguments.json,
        figures,
        machine={
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "threads": torch.get_num_threads(),
        },
        packages=PACKAGES,
    )
    print(json.dumps(figures, indent=2))


def _run(settings: dict, out: Path, epochs: int) -> None:
    run.train(TrainConfig(**settings, output_dir=str(out), num_train_epochs=epochs))


@contextmanager
def _measured(*, cache: bool = True) -> Iterator[dict]:
    """Time the one pass and every epoch of the run inside; switch the cache off for the peer."""
    times: dict = {"epochs": [], "pass": 0.0, "clips": 0}
    make_head, train_epoch = run.make_head, fit._train_epoch
    save = multimodal.save_checkpoint

    def timed_head(config, model, processor, parts, accelerator):
        times["clips"] = len(parts["train"])
        start = time.perf_counter()
        head = make_head(config, model, processor, parts, accelerator) if cache else None
        times["pass"] = time.perf_counter() - start
        return head

    def timed_epoch(*given):
        start = time.perf_counter()
        loss = train_epoch(*given)
        times["epochs"].append(time.perf_counter() - start)
        return loss

    run.make_head, fit._train_epoch = timed_head, timed_epoch
    multimodal.save_checkpoint = lambda *_, **__: None  # not part of the time
    try:
        yield times
    finally:
        run.make_head, fit._train_epoch = make_head, train_epoch
        multimodal.save_checkpoint = save


if __name__ == "__main__":
    main()

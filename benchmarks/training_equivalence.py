"""Training in two processes, and a run that is killed and resumed, beside one process.

    python benchmarks/training_equivalence.py

Trains a small random model on generated tones: in one process; in two; and in one that is killed
(SIGKILL) while it writes its state, and resumed. Prints and writes the loss curves.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from speech_emotion.training.provenance import PACKAGES  # noqa: E402
from tests.helpers.toy_corpus import SETTINGS, STILL_MODEL, rows, write_corpus  # noqa: E402

TRAIN = str(ROOT / "train.py")
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
CURVES = ("train_loss", "validation_loss")


def main() -> None:
    """Run everything, and write the figures as JSON."""
    parser = make_parser(__doc__, __file__)
    parser.add_argument("--epochs", type=int, default=6, help="epochs of each run (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_corpus(folder / "corpus", train=rows(range(1, 9)), validation=rows((9, 10)))
        figures = {
            "processes": _processes(folder, arguments.epochs),
            "resume": _resume(folder, arguments.epochs),
        }
    write_figures(arguments.json, figures, packages=PACKAGES)
    print(json.dumps({name: figures[name] for name in ("processes", "resume")}, indent=2))


def _processes(folder: Path, epochs: int) -> dict:
    """Batches of four: four at once in one process, two in each of two."""
    # Without dropout and other random layers, which each process draws independently.
    settings = {"model": STILL_MODEL, "num_train_epochs": epochs, "max_seconds": 1.0}
    settings["gradient_accumulation_steps"] = 1
    one = _train(folder, "one", **settings, per_device_train_batch_size=4)
    two = _train(folder, "two", launcher=TWO, **settings, per_device_train_batch_size=2)
    curves = {
        f"{curve}, {name}": [row[curve] for row in history]
        for name, history in (("one process", one), ("two processes", two))
        for curve in CURVES
    }
    states = (_states(folder, "two") / f"checkpoint_{epochs - 1}").glob("random_states_*.pkl")
    pairs = list(zip(one, two, strict=True))
    return {
        "processes of the second run": len(list(states)),
        **curves,
        "largest difference": max(abs(a[c] - b[c]) for a, b in pairs for c in CURVES),
    }


def _resume(folder: Path, epochs: int) -> dict:
    """With dropout, layer drop, masks and random cuts, all of which must continue unchanged."""
    whole = _train(folder, "whole", num_train_epochs=epochs)
    command = _command(folder, "killed", num_train_epochs=epochs)
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = _states(folder, "killed") / "checkpoint_1"
    while process.poll() is None and not any(state.glob("*")):
        time.sleep(0.0002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = sorted(path.name for path in state.iterdir()) if state.exists() else []
    finished = (state / "history.json").exists()
    again = _train(folder, "killed", "--resume", num_train_epochs=epochs)
    weights = [load_file(folder / name / "model.safetensors") for name in ("whole", "killed")]
    return {
        "uninterrupted": [row["train_loss"] for row in whole],
        "killed and resumed": [row["train_loss"] for row in again],
        "killed by": signal.Signals(-process.returncode).name if process.returncode < 0 else None,
        "files of the half-written state": left,
        "the state was whole": finished,
        "same history": whole == again,
        "same weights, bit for bit": all(
            torch.equal(weights[0][name], weights[1][name]) for name in weights[0]
        ),
    }


def _train(folder: Path, name: str, *options: str, launcher: list[str] | None = None, **settings):
    """Run train.py and return its history."""
    command = [*_command(folder, name, launcher=launcher, **settings), *options]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
    states = _states(folder, name).glob("checkpoint_*/history.json")
    last = max(states, key=lambda path: int(path.parent.name.split("_")[1]))
    return json.loads(last.read_text())


def _states(folder: Path, name: str) -> Path:
    return folder / f"{name}.state" / "checkpoints"


def _command(
    folder: Path, name: str, *, launcher: list[str] | None = None, **settings
) -> list[str]:
    config = folder / f"{name}.yaml"
    config.write_text(yaml.safe_dump({**SETTINGS, **settings}))
    data, out = str(folder / "corpus"), str(folder / name)
    start = [sys.executable, *(launcher or []), TRAIN, "--config", str(config)]
    return [*start, "--data", data, "--output-dir", out]


if __name__ == "__main__":
    main()

"""Memory and time of recordings of hours.

    python benchmarks/long_recording.py --clips ../shared/data/RAVDESS --model checkpoints/mini

Real clips are repeated, with a second of silence after each, until a file is as long as asked for.
`speech-emotion predict --segments` classifies it in its own process, without a transcriber; the
largest resident memory of that process and its workers is measured. A file of half a minute shows
the memory of the model and the libraries.
"""

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.processes import run_measured  # noqa: E402
from benchmarks.results_file import default_path, write_figures  # noqa: E402
from hub_model.audio import SAMPLING_RATE, load_audio  # noqa: E402

PAUSE_S = 1


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder of FLAC or WAV clips")
    parser.add_argument(
        "--model",
        default=str(ROOT / "checkpoints" / "mini"),
        help="model folder or Hub id (%(default)s)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="*",
        default=[0.5, 10, 180],
        help="lengths of the recordings (0.5 10 180)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that decode (%(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="windows in one forward pass (%(default)s)"
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the Python code of a model that this package does not know",
    )
    parser.add_argument(
        "--json", type=Path, default=default_path(__file__), help="results file (%(default)s)"
    )
    arguments = parser.parse_args()

    runs = [_measure(arguments, minutes) for minutes in arguments.minutes]
    figures = {
        "what": "speech-emotion predict --segments on one long recording, no transcriber",
        "model": Path(arguments.model).name,
        "workers": arguments.workers,
        "batch_size": arguments.batch_size,
        "runs": runs,
    }
    write_figures(arguments.json, figures)
    print(json.dumps(runs, indent=2))


def _measure(arguments: argparse.Namespace, minutes: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        recording, out = Path(temporary) / "recording.flac", Path(temporary) / "rows.jsonl"
        _write(recording, arguments.clips, minutes)
        command = [
            *(sys.executable, "-m", "speech_emotion", "predict", str(recording)),
            *("--model", arguments.model, "--transcriber", "none", "--segments"),
            *("--workers", str(arguments.workers), "--batch-size", str(arguments.batch_size)),
            *("--format", "json", "--out", str(out)),
            *(["--trust-remote-code"] if arguments.trust_remote_code else []),
        ]
        seconds, peak = run_measured(command)
        row = json.loads(out.read_text(encoding="utf-8"))
    silent = sum(window["scores"] is None for window in row["windows"])
    return {
        "minutes": minutes,
        "peak_mib": peak,
        "seconds": round(seconds, 1),
        "seconds_per_hour_of_audio": round(seconds / row["seconds"] * 3600, 1),
        "windows": len(row["windows"]),
        "windows_without_speech": silent,
        "segments": len(row["segments"]),
    }


def _write(path: Path, folder: Path, minutes: float) -> None:
    clips = sorted([*folder.rglob("*.flac"), *folder.rglob("*.wav")])
    if not clips:
        raise SystemExit(f"--clips {folder}: no FLAC or WAV files")
    left = round(minutes * 60 * SAMPLING_RATE)
    pause = np.zeros(PAUSE_S * SAMPLING_RATE, dtype=np.float32)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1) as file:
        for clip in itertools.cycle(clips):
            for part in (load_audio(clip), pause):
                file.write(part[:left])
                left -= part[:left].size
            if not left:
                return


if __name__ == "__main__":
    main()

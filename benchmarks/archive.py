"""Speed and memory of `speech-emotion predict` on archives, with workers and without.

    python benchmarks/archive.py --data ../shared/data

Every row is one command on so many real clips, with cleaning, without a transcriber, its start
included. The reference of a row with workers is the row of as many clips without.
"""

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import soundfile  # noqa: E402

from benchmarks.processes import run_measured  # noqa: E402
from benchmarks.random_hubert import real_clips  # noqa: E402
from benchmarks.results_file import make_parser, write_figures  # noqa: E402


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(
        __doc__, __file__, data="folder of clips, searched below", model="model folder or Hub id"
    )
    parser.add_argument(
        "--clips", type=int, nargs="+", default=[100, 500, 5000], help="(100 500 5000)"
    )
    parser.add_argument("--workers", nargs="+", default=["0", "2"], help="(0 2)")
    arguments = parser.parse_args()
    rows = []
    for count in arguments.clips:
        files = real_clips(arguments.data, count)
        audio = sum(soundfile.info(file).duration for file in files)
        for workers in arguments.workers:
            seconds, peak = _run(files, arguments.model, workers)
            rows.append(
                {
                    "clips": count,
                    "workers": workers,
                    "audio_s": round(audio, 1),
                    "seconds": round(seconds, 1),
                    "real_time": round(audio / seconds, 1),
                    "peak_mib": peak,
                }
            )
            first = next(row for row in rows if row["clips"] == count)
            rows[-1]["ratio"] = round(first["seconds"] / seconds, 2)
            print(json.dumps(rows[-1]), flush=True)
    figures = {
        "what": "speech-emotion predict with cleaning, audio-only, start included",
        "model": Path(arguments.model).name,
        "rows": rows,
    }
    write_figures(arguments.json, figures)


def _run(files: list[str], model: str, workers: str) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder) / "clips.csv", Path(folder) / "out.csv"
        table.write_text("file\n" + "".join(f"{Path(file).resolve()}\n" for file in files))
        command = [
            *(sys.executable, "-m", "speech_emotion", "predict", str(table), "--model", model),
            *("--transcriber", "none", "--workers", workers, "--format", "csv", "--out", str(out)),
        ]
        measured = run_measured(command)
        lines = len(out.read_text(encoding="utf-8").splitlines()) - 1
        if lines != len(files):
            raise SystemExit(f"{lines} results of {len(files)} clips")
        return measured


if __name__ == "__main__":
    main()

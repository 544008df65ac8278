"""Time and memory of a corpus build, beside a simple loop of the same steps.

    python benchmarks/corpus_build.py --data ../shared/data

The reference is a simple script: one process, librosa to load and resample, noisereduce, librosa
to cut silence, soundfile to write FLAC. Both run on the same clips in their own processes, imports
included, alternately; the ratio is of the medians. The build also hashes, drops duplicates,
splits, audits and writes shards and a card.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402

PEER = """
import sys
from pathlib import Path

import librosa
import noisereduce
import numpy as np
import soundfile

source, out = map(Path, sys.argv[1:])
for path in sorted(source.rglob("*.*")):
    waveform, rate = librosa.load(path, sr=16000)
    waveform = noisereduce.reduce_noise(y=waveform, sr=rate, stationary=False, prop_decrease=0.5)
    loud = librosa.effects.split(waveform, top_db=30, frame_length=512, hop_length=128)
    keep = np.zeros(waveform.size, dtype=bool)
    for start, end in loud:
        keep[max(0, start - 1600) : end + 1600] = True
    waveform = waveform[keep]
    if waveform.size >= rate:
        soundfile.write(out / f"{path.stem}.flac", waveform, rate, subtype="PCM_16")
"""


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, data="folder of RAVDESS/ and TESS/")
    parser.add_argument("--clips", type=int, default=300, help="clips of RAVDESS for the time")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (%(default)s)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes of the build (%(default)s)"
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=[500, 2500],
        help="numbers of clips for the memory (500 2500)",
    )
    arguments = parser.parse_args()

    figures = {
        "what": "corpus build beside a simple one-process loop over librosa and noisereduce",
        "speed": _speed(arguments.data, arguments.clips, arguments.rounds, arguments.workers),
        "peak_memory": [_memory(arguments.data, n, arguments.workers) for n in arguments.sizes],
    }
    write_figures(arguments.json, figures)
    print(json.dumps({key: figures[key] for key in ("speed", "peak_memory")}, indent=2))


def _speed(data: Path, clips: int, rounds: int, workers: int) -> dict[str, object]:
    seconds: dict[str, list[float]] = {"peer": [], "build": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            files = sorted((data / "RAVDESS").rglob("*.flac"))
            # Neutral clips would be left out by the build and cleaned by the loop.
            files = [path for path in files if path.stem.split("-")[2] != "01"][:clips]
            _link(files, folder / "raw" / "ravdess")
            (folder / "peer").mkdir()
            raw, out = str(folder / "raw" / "ravdess"), str(folder / "peer")
            seconds["peer"].append(_time([sys.executable, "-c", PEER, raw, out]))
            seconds["build"].append(_time(_build(folder, ["ravdess"], workers)))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "clips": len(files),
        "workers": workers,
        "seconds": {name: [round(value, 2) for value in v] for name, v in seconds.items()},
        "ratio": round(medians["peer"] / medians["build"], 2),
    }


def _memory(data: Path, clips: int, workers: int) -> dict[str, object]:
    """Build from ``clips`` clips of both corpora; the peak memory of each process."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = ("ravdess", "tess")
        files = {name: sorted((data / name.upper()).rglob("*.flac")) for name in names}
        total = sum(map(len, files.values()))
        if total < clips:
            raise SystemExit(f"{clips} clips asked for, {total} are there")
        for name, paths in files.items():
            step = total / clips
            chosen = [paths[int(i * step)] for i in range(int(len(paths) / step))]
            _link(chosen, folder / "raw" / name)
        process = subprocess.Popen(
            [*_build(folder, ["ravdess", "tess"], workers), "--keep-neutral"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for pid in _tree(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), _resident(pid))
            time.sleep(0.05)
        if process.returncode:
            raise SystemExit(f"the build of {clips} clips failed")
        parent = peaks.pop(process.pid)
        largest = sorted(peaks.values(), reverse=True)[:workers]
        return {
            "clips": clips,
            "parent_mib": round(parent / 2**20),
            "workers_mib": [round(peak / 2**20) for peak in largest],
        }


def _tree(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _resident(pid: int) -> int:
    """Return the private bytes of a process; mapped files can be dropped at any time."""
    try:
        memory = psutil.Process(pid).memory_info()
    except psutil.NoSuchProcess:
        return 0
    return memory.rss - memory.shared


def _build(folder: Path, corpora: Iterable[str], workers: int) -> list[str]:
    sources = [f"--source={name}={folder / 'raw' / name}" for name in corpora]
    out = ["--out", str(folder / "out"), "--workers", str(workers)]
    return [sys.executable, "-m", "corpus_builder", "build", *sources, *out]


def _link(files: Iterable[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in files:
        (folder / path.name).symlink_to(path.resolve())


def _time(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

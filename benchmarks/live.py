"""Delay and memory of a live recording.

    python benchmarks/live.py --clips ../shared/data/RAVDESS

Real clips are repeated, with a second of silence after each, until they are as long as asked for.
Their samples go to `classifier.live()` in chunks, as fast as it takes them. The delay is the time
from the chunk that holds the end of a window to its result; the memory is that of the process. The
windows of all sizes of chunks, and of a call with the whole recording, are compared.
"""

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from hub_model.audio import SAMPLING_RATE, load_audio  # noqa: E402
from speech_emotion.predict.loading import load_classifier, quiet  # noqa: E402

PAUSE_S = 1


def main() -> int:
    """Measure, write the figures as JSON, and return 1 when windows differ."""
    parser = make_parser(__doc__, __file__, model="model folder or Hub id")
    parser.add_argument("--clips", type=Path, required=True, help="folder of FLAC or WAV clips")
    parser.add_argument("--minutes", type=float, default=60, help="length (%(default)s)")
    parser.add_argument(
        "--compared",
        type=float,
        default=5,
        help="minutes of it that are compared with other chunks and the whole (%(default)s)",
    )
    parser.add_argument(
        "--chunk-ms", type=float, default=20, help="chunk of the long run (%(default)s)"
    )
    arguments = parser.parse_args()
    quiet()
    classifier = load_classifier(arguments.model, transcriber="none")
    size = round(arguments.chunk_ms / 1000 * SAMPLING_RATE)
    long = _run(classifier, _chunks(arguments.clips, arguments.minutes, size), arguments.minutes)

    start = np.concatenate(list(_chunks(arguments.clips, arguments.compared, SAMPLING_RATE)))
    options = {"return_segments": True, "text": "", "smoothing": 1, "batch_size": 1}
    found = {"whole": _digest(classifier(start, **options)["windows"])}
    for samples in (size, 333, SAMPLING_RATE, 5 * SAMPLING_RATE):
        live = classifier.live()
        parts = (live.add(start[at : at + samples]) for at in range(0, start.size, samples))
        found[f"chunks of {samples} samples"] = _digest(
            [*itertools.chain.from_iterable(parts), *live.finish()]
        )
    figures = {
        "what": "a live recording, audio-only, no transcriber",
        "model": Path(arguments.model).name,
        "chunk_ms": arguments.chunk_ms,
        **long,
        "compared_minutes": arguments.compared,
        "same_windows": len(set(found.values())) == 1,
        "compared": list(found),
    }
    write_figures(arguments.json, figures, machine={"threads": torch.get_num_threads()})
    print(json.dumps(figures, indent=2))
    return 0 if figures["same_windows"] else 1


def _chunks(folder: Path, minutes: float, size: int) -> Iterator[np.ndarray]:
    """Yield float32 ``(size,)`` until the minutes are over."""
    clips = sorted([*folder.rglob("*.flac"), *folder.rglob("*.wav")])
    if not clips:
        raise SystemExit(f"--clips {folder}: no FLAC or WAV files")
    pause = np.zeros(PAUSE_S * SAMPLING_RATE, dtype=np.float32)
    held, left = np.zeros(0, dtype=np.float32), round(minutes * 60 * SAMPLING_RATE / size)
    for clip in itertools.cycle(clips):
        held = np.concatenate([held, load_audio(clip), pause])
        while held.size >= size and left:
            yield held[:size]
            held, left = held[size:], left - 1
        if not left:
            return


def _run(classifier, chunks: Iterator[np.ndarray], minutes: float) -> dict[str, object]:
    live, process = classifier.live(), psutil.Process()
    delays, memory, windows, busy = [], [], 0, 0.0
    for chunk in chunks:
        started = time.perf_counter()
        rows = live.add(chunk)
        took = time.perf_counter() - started
        busy += took
        windows += len(rows)
        delays += [live.seconds - row["end"] + took for row in rows]
        if live.seconds >= (len(memory) + 1) * minutes * 6:
            memory.append(round(process.memory_info().rss / 2**20))
    live.finish()
    median, tail = np.percentile(delays, [50, 95])
    return {
        "minutes": minutes,
        "windows": windows,
        "delay_s": {
            "median": round(float(median), 3),
            "95%": round(float(tail), 3),
            "worst": round(max(delays), 3),
        },
        "seconds_per_hour_of_audio": round(busy / minutes * 60, 1),
        "memory_mib_by_tenths": memory,
    }


def _digest(windows: list[dict]) -> str:
    return hashlib.sha256(json.dumps(windows).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())

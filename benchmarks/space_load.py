"""The demo under load: lost and wrong predictions, latency and memory with many clients.

    python benchmarks/space_load.py

The demo runs in its own process on two cores, with its default limits. Each client sends its own
clip repeatedly (`gradio_client`: upload, queue, result). The pipeline predicts each clip first; no
two clips have the same prediction, so a result of another client is detected. The clips are cut
from those in `examples/`.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402
import soundfile  # noqa: E402
from gradio_client import Client, handle_file  # noqa: E402
from transformers import pipeline  # noqa: E402
from transformers.utils import logging  # noqa: E402

from benchmarks.results_file import default_path, write_figures  # noqa: E402

CLIP_SECONDS = 3.0
"""As in the paper."""

SAME = 1e-3
"""Largest difference of a probability between two predictions of one clip."""

START_SECONDS = 300
PACKAGES = ("gradio", "gradio_client", "torch", "transformers", "numpy", "soundfile")


@dataclass
class Record:
    """Requests of one client: seconds of each result, wrong results, errors."""

    seconds: list[float] = field(default_factory=list)
    mixed_up: int = 0
    errors: list[str] = field(default_factory=list)
    asked: int = 0


def main() -> int:
    """Measure, write the figures as JSON, and return 1 when a result was missing or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--json", type=Path, default=default_path(__file__), help="results file (%(default)s)"
    )
    parser.add_argument(
        "--model",
        default=str(ROOT / "checkpoints" / "mini"),
        help="model folder or Hub id (%(default)s)",
    )
    parser.add_argument("--transcriber", default="none", help="of the demo (%(default)s)")
    parser.add_argument("--clients", type=int, default=20, help="number of clients (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="duration (%(default)s)")
    parser.add_argument("--cores", type=int, default=2, help="cores of the demo (%(default)s)")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        clips = write_clips(Path(folder), arguments.clients)
        expected = expected_predictions(arguments.model, clips)
        with served(arguments, Path(folder)) as (server, url):
            figures = load(server, url, clips, expected, arguments)
    write_figures(
        arguments.json,
        figures,
        machine={"cores_of_the_page": arguments.cores},
        packages=PACKAGES,
    )
    print(json.dumps(figures, indent=2))
    return 1 if figures["errors"] or figures["mixed_up"] or figures["lost"] else 0


def write_clips(folder: Path, count: int) -> list[Path]:
    """Cut a different clip for each client."""
    examples = sorted((ROOT / "examples").glob("*.wav"))
    clips = []
    for number in range(count):
        waveform, rate = soundfile.read(examples[number % len(examples)])
        # Clips of different lengths, so that predictions differ by more than rounding.
        seconds = CLIP_SECONDS * (0.5 + 0.5 * (number + 1) / count)
        waveform = waveform[: int(min(seconds * rate, len(waveform) - 0.02 * number * rate))]
        path = folder / f"client-{number:02d}.wav"
        soundfile.write(path, waveform, rate)
        clips.append(path)
    return clips


def expected_predictions(model: str, clips: list[Path]) -> list[dict[str, float]]:
    """The prediction of each clip, one by one in this process.

    Raises:
        SystemExit: two clips have the same prediction, so a mix-up could not be detected.
    """
    classifier = pipeline(
        "audio-classification", model=model, trust_remote_code=True, transcriber="none"
    )
    found = [{row["label"]: row["score"] for row in classifier(str(clip))} for clip in clips]
    for first, prediction in enumerate(found):
        if any(same(prediction, other) for other in found[:first]):
            raise SystemExit(f"error: {clips[first].name} has the prediction of another clip")
    return found


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two predictions are of one clip."""
    return all(abs(score - other[label]) < SAME for label, score in one.items())


@contextmanager
def served(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Serve the demo on some cores and yield its process and address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "SER_MODEL": arguments.model,
        "SER_TRANSCRIBER": arguments.transcriber,
        "GRADIO_SERVER_PORT": str(port),
    }
    log = folder / "log"
    with log.open("w") as out:
        command = [sys.executable, str(ROOT / "space" / "app.py")]
        server = subprocess.Popen(command, env=env, stdout=out, stderr=out)
    try:
        cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
        os.sched_setaffinity(server.pid, cores)  # before it starts any thread
        deadline = time.monotonic() + START_SECONDS
        while "Running on" not in log.read_text():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: the demo does not start: {log.read_text()[-500:]}")
            time.sleep(0.5)
        yield psutil.Process(server.pid), f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def load(
    server: psutil.Process,
    url: str,
    clips: list[Path],
    expected: list[dict[str, float]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Let all clients send requests at once; returns the figures."""
    clients = [Client(url, verbose=False) for _ in clips]
    clients[0].predict(handle_file(clips[0]), api_name="/predict")
    records = [Record() for _ in clips]
    before, most = server.memory_info().rss, 0
    deadline = time.monotonic() + arguments.seconds
    threads = [
        threading.Thread(target=send, args=(client, clip, prediction, record, deadline))
        for client, clip, prediction, record in zip(clients, clips, expected, records, strict=True)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, server.memory_info().rss)
        time.sleep(0.5)
    took = time.monotonic() - started
    seconds = sorted(second for record in records for second in record.seconds)
    errors = [line for record in records for line in record.errors]
    asked = sum(record.asked for record in records)
    return {
        "what": "clients of the demo at once, each with its own clip",
        "model": Path(arguments.model).name,
        "transcriber": arguments.transcriber,
        "clients": len(clips),
        "seconds": round(took, 1),
        "asked": asked,
        "answers": len(seconds),
        "fewest_answers_of_a_client": min(len(record.seconds) for record in records),
        "lost": asked - len(seconds) - len(errors),
        "mixed_up": sum(record.mixed_up for record in records),
        "errors": errors[:10],
        "answers_per_second": round(len(seconds) / took, 2),
        "latency_seconds": {
            "median": round(statistics.median(seconds), 3) if seconds else None,
            "worst": round(seconds[-1], 3) if seconds else None,
        },
        "memory_megabytes": {
            "before": round(before / 1e6, 1),
            "most": round(most / 1e6, 1),
            "after": round(server.memory_info().rss / 1e6, 1),
        },
    }


def send(
    client: Client, clip: Path, expected: dict[str, float], record: Record, deadline: float
) -> None:
    """Send one clip until the time is up, and check every result."""
    while time.monotonic() < deadline:
        record.asked += 1
        started = time.monotonic()
        try:
            result = client.predict(handle_file(clip), api_name="/predict")
        except Exception as error:  # any error that a client gets
            record.errors.append(f"{clip.name}: {error}")
            continue
        record.seconds.append(time.monotonic() - started)
        found = {row["label"]: row["score"] for row in result["emotions"]}
        record.mixed_up += not same(expected, found)


if __name__ == "__main__":
    sys.exit(main())

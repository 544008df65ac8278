"""What the two benchmarks of a server under load share: clips, clients and figures.

Each client sends its own clip repeatedly. The pipeline predicts each clip first; no two clips have
the same prediction, so a result of another client is detected. The clips are cut from those in
`examples/`.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import soundfile
from transformers import pipeline
from transformers.utils import logging

from benchmarks.results_file import make_parser, write_figures

ROOT = Path(__file__).resolve().parents[1]

CLIP_SECONDS = 3.0
"""As in the paper."""

SPEED_STEP = 0.02

SAME = 1e-3
"""Largest difference of a probability between two predictions of one clip."""

START_SECONDS = 300

Ask = Callable[[Path], list[dict[str, Any]]]
"""Sends a clip and returns its emotions."""


@dataclass
class Record:
    """Requests of one client: seconds of each result, wrong results, errors."""

    seconds: list[float] = field(default_factory=list)
    mixed_up: int = 0
    errors: list[str] = field(default_factory=list)
    asked: int = 0


@dataclass(frozen=True)
class Server:
    """A server under test.

    Attributes:
        what: it is, for the figures.
        command: from model, transcriber and port to the command that starts it.
        environment: the same, to its environment variables.
        ready: text that it prints when it has started.
        connect: from its address to what sends a clip, for one client.
        packages: whose versions are recorded.
    """

    what: str
    command: Callable[[str, str, int], list[str]]
    environment: Callable[[str, str, int], dict[str, str]]
    ready: str
    connect: Callable[[str], Ask]
    packages: Sequence[str]


def measure(server: Server, script: str, doc: str) -> int:
    """Measure, write the figures as JSON, and return 1 when a result was missing or wrong.

    Args:
        script: the file of the benchmark. doc: its docstring.
    """
    parser = make_parser(doc, script, model="model folder or Hub id")
    parser.add_argument("--transcriber", default="none", help="of the server (%(default)s)")
    parser.add_argument("--clients", type=int, default=20, help="number of clients (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="duration (%(default)s)")
    parser.add_argument("--cores", type=int, default=2, help="cores of the server (%(default)s)")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        clips = write_clips(Path(folder), arguments.clients)
        expected = expected_predictions(arguments.model, clips)
        with started(server, arguments, Path(folder)) as (process, url):
            asks = [server.connect(url) for _ in clips]
            figures = {
                "what": server.what,
                "model": Path(arguments.model).name,
                "transcriber": arguments.transcriber,
                **load(process, asks, clips, expected, arguments.seconds),
            }
    machine = {"cores_of_the_server": arguments.cores}
    write_figures(arguments.json, figures, machine=machine, packages=server.packages)
    print(json.dumps(figures, indent=2))
    return 1 if figures["errors"] or figures["mixed_up"] or figures["lost"] else 0


def write_clips(folder: Path, count: int) -> list[Path]:
    """Cut a different clip for each client."""
    examples = sorted((ROOT / "examples").glob("*.wav"))
    clips = []
    for number in range(count):
        waveform, rate = soundfile.read(examples[number % len(examples)])
        waveform = waveform[: round(CLIP_SECONDS * rate)]
        path = folder / f"client-{number:02d}.wav"
        # Each is played a little faster than the one before, so that no two sound the same.
        soundfile.write(path, waveform, round(rate * (1 + SPEED_STEP * number)))
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
def started(
    server: Server, arguments: argparse.Namespace, folder: Path
) -> Iterator[tuple[psutil.Process, str]]:
    """Start a server on some cores and yield its process and address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = arguments.model, arguments.transcriber, port
    env = {**os.environ, **server.environment(*given)}
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(server.command(*given), env=env, stdout=out, stderr=out)
    try:
        cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
        os.sched_setaffinity(process.pid, cores)  # before it starts any thread
        deadline = time.monotonic() + START_SECONDS
        while server.ready not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: the server does not start: {log.read_text()[-500:]}")
            time.sleep(0.5)
        yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def load(
    server: psutil.Process,
    asks: Sequence[Ask],
    clips: Sequence[Path],
    expected: Sequence[dict[str, float]],
    seconds_of_load: float,
) -> dict[str, Any]:
    """Let all clients send requests at once; returns the figures."""
    asks[0](clips[0])
    records = [Record() for _ in clips]
    before, most = server.memory_info().rss, 0
    deadline = time.monotonic() + seconds_of_load
    threads = [
        threading.Thread(target=send, args=(ask, clip, prediction, record, deadline))
        for ask, clip, prediction, record in zip(asks, clips, expected, records, strict=True)
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


def send(ask: Ask, clip: Path, expected: dict[str, float], record: Record, deadline: float) -> None:
    """Send one clip until the time is up, and check every result."""
    while time.monotonic() < deadline:
        record.asked += 1
        started = time.monotonic()
        try:
            emotions = ask(clip)
        except Exception as error:  # any error that a client gets
            record.errors.append(f"{clip.name}: {error}")
            continue
        record.seconds.append(time.monotonic() - started)
        found = {row["label"]: row["score"] for row in emotions}
        record.mixed_up += not same(expected, found)

"""Time and memory of a command and its workers."""

import subprocess
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]


def run_measured(command: list[str]) -> tuple[float, int]:
    """Run a command in this folder; return its seconds and its largest resident memory in MiB.

    Raises:
        SystemExit: it fails.
    """
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process))
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:5])} ... ended with {process.returncode}")
    return seconds, round(peak / 2**20)


def _resident(process: psutil.Process) -> int:
    """Memory of a process and its workers; shared pages count once."""
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            memory = member.memory_info()
            total += memory.rss if member.pid == process.pid else memory.rss - memory.shared
    except psutil.NoSuchProcess:
        pass
    return total

"""The results file of a benchmark: its figures and their provenance."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus_builder import provenance

ROOT = Path(__file__).resolve().parents[1]


def default_path(script: str) -> Path:
    """Return ``benchmarks/results/NAME.json`` for the file of a benchmark."""
    return ROOT / "benchmarks" / "results" / f"{Path(script).stem}.json"


def write_figures(
    path: Path,
    figures: dict[str, Any],
    *,
    machine: dict[str, Any] | None = None,
    packages: Sequence[str] = provenance.PACKAGES,
) -> None:
    """Write a results file: figures, machine, command, versions and commit.

    Args:
        machine: facts about the machine besides the number of processors and the load.
        packages: packages whose versions are recorded.
    """
    command = ["benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]]
    known = {"cpus": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)}
    figures = figures | {
        "machine": known | (machine or {}),
        "command": f"python {shlex.join(command)}",
        "versions": provenance.versions(packages),
        "commit": provenance.commit(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

"""The options of a benchmark, and its results file: figures and their provenance."""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus_builder import provenance

ROOT = Path(__file__).resolve().parents[1]


KINDS = {"AMX": {"amx_tile"}, "AVX-512": {"avx512f"}, "AVX2": {"avx2"}, "ASIMD": {"asimd"}}
"""Kinds of CPU, the fastest first, by the flags of ``/proc/cpuinfo`` that make one."""

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Flags that a results file names."""


def cpu_flags() -> set[str]:
    """The flags of this machine's processor; none where Linux does not say them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    found = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return set(next(found, "").split())


def cpu_kind() -> str:
    """The kind of this machine's processor: one of :data:`KINDS`, or its architecture."""
    flags = cpu_flags()
    return next((kind for kind, needed in KINDS.items() if needed <= flags), platform.machine())


def make_parser(
    doc: str | None,
    script: str,
    *,
    data: str | None = None,
    model: str | None = None,
    trust_remote_code: bool = False,
) -> argparse.ArgumentParser:
    """Return a parser with the options that benchmarks share.

    ``--json`` is ``benchmarks/results/NAME.KIND.json``, as ``live.avx2``: each kind of CPU has a
    file of its own.

    Args:
        doc: docstring of the benchmark.
        script: its file.
        data: help of ``--data``, a folder that must be given; without it there is no such option.
        model: the same of ``--model``, the embedded checkpoint when not given.
        trust_remote_code: add ``--trust-remote-code``.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    kind = cpu_kind().lower().replace("-", "")
    path = ROOT / "benchmarks" / "results" / f"{Path(script).stem}.{kind}.json"
    parser.add_argument("--json", type=Path, default=path, help="results file (%(default)s)")
    if data:
        parser.add_argument("--data", type=Path, required=True, help=data)
    if model:
        default = str(ROOT / "checkpoints" / "mini")
        parser.add_argument("--model", default=default, help=f"{model} (%(default)s)")
    if trust_remote_code:
        parser.add_argument(
            "--trust-remote-code",
            action="store_true",
            help="run the Python code of a model that this package does not know",
        )
    return parser


def shown(word: str) -> str:
    """A word of a command without folders of this machine; a path within the project as is."""
    kind, colon, path = word.rpartition(":")
    return kind + colon + (path if not Path(path).is_absolute() else Path(path).name)


def write_figures(
    path: Path,
    figures: dict[str, Any],
    *,
    after: str | None = None,
    machine: dict[str, Any] | None = None,
    packages: Sequence[str] = provenance.PACKAGES,
) -> None:
    """Write a results file: figures, machine, command, versions and commit.

    Args:
        after: the command whose measurements the figures hold as well.
        machine: facts about the machine besides its processors and the load.
        packages: packages whose versions are recorded.
    """
    command = ["benchmarks/" + Path(sys.argv[0]).name, *map(shown, sys.argv[1:])]
    known = {
        "cpu": cpu_kind(),
        "cpus": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in cpu_flags()],
        "load_average": round(os.getloadavg()[0], 1),
    }
    figures = figures | {
        "machine": known | (machine or {}),
        "command": "; ".join([*([after] if after else []), f"python {shlex.join(command)}"]),
        "versions": provenance.versions(packages),
        "commit": provenance.commit(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")

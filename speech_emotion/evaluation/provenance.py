"""Provenance of figures: command, commit, versions. Absolute paths are left out."""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus_builder import provenance
from corpus_builder.provenance import commit

LIBRARIES = (
    "datasets",
    "librosa",
    "numpy",
    "scikit-learn",
    "scipy",
    "soundfile",
    "soxr",
    "torch",
    "transformers",
)
REPOSITORY = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    """Versions of Python and of every library that can change a figure."""
    return provenance.versions(LIBRARIES)


def git_state() -> dict[str, str | bool | None]:
    """The commit, and whether Python code or configs differ from it; None without git."""
    command = ["git", "status", "--porcelain", "--", "*.py", "*.yaml"]
    try:
        found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": commit(), "code_changed": None}
    return {"commit": commit(), "code_changed": bool(found.stdout.strip())}


def portable(argument: str) -> str:
    """An argument without the folders of this machine: an absolute path becomes relative.

    >>> portable("checkpoints/mini"), portable("/home/me/corpus")
    ('checkpoints/mini', 'corpus')
    """
    path = Path(argument)
    if not path.is_absolute():
        return argument
    if path.is_relative_to(Path.cwd()):
        return path.relative_to(Path.cwd()).as_posix()
    return path.name


def portable_line(line: str, data: str) -> str:
    """An error line without the folders of this machine.

    >>> portable_line("/home/me/raw/a.wav: not audio", "/home/me/raw")
    'raw/a.wav: not audio'
    """
    return line.replace(data, portable(data))


def command_line(arguments: Sequence[str], *, program: str = "evaluate_benchmarks.py") -> str:
    """The command line of a script, quoted for a shell."""
    return shlex.join(["python", program, *arguments])


def run_of(result: dict[str, Any]) -> dict[str, str]:
    """Command and commit of a results file, for figures that another file takes from it.

    Raises:
        KeyError: the file lacks them.
    """
    return {name: result[name] for name in ("command", "commit")}

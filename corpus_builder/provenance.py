"""Provenance of an artefact: versions, commit, data fingerprint (design rule 11)."""

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = (
    "audiomentations",
    "datasets",
    "librosa",
    "numpy",
    "pyarrow",
    "python-stretch",
    "scikit-learn",
    "soundfile",
    "soxr",
)
"""The libraries that decide the audio of a clip and its split."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of some installed packages."""
    found = {package: importlib.metadata.version(package) for package in packages}
    return {"python": platform.python_version()} | found


def commit() -> str | None:
    """Return the git commit of this code, or None when it is not a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True
        )
    except OSError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def fingerprint(splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Hash which recordings are there, with their labels, augmentations and splits.

    Args:
        splits: split name -> rows with the columns of the corpus.

    Returns:
        64 hexadecimal digits, the same whatever the order of rows.
    """
    keys = ("utterance_id", "label", "audio_hash", "augmentation")
    lines = sorted(
        "\t".join([split, *(str(row[key]) for key in keys)])
        for split, rows in splits.items()
        for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

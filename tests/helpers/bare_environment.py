"""Environments that hold some requirements and nothing else, without installing anything twice."""

import importlib.metadata
import re
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(lines: list[str]) -> Iterator[str]:
    """The installed distributions that requirements bring in, by their canonical names."""
    waiting, seen = [Requirement(line) for line in lines], set()
    while waiting:
        requirement = waiting.pop()
        for extra in {"", *requirement.extras}:
            key = canonicalize_name(requirement.name), extra
            marker = requirement.marker
            if key in seen or (marker is not None and not marker.evaluate({"extra": extra})):
                continue
            seen.add(key)
            try:
                needs = importlib.metadata.requires(requirement.name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            for need in map(Requirement, needs):
                if need.marker is None or need.marker.evaluate({"extra": extra}):
                    waiting.append(Requirement(re.sub(r";.*", "", str(need))))
    yield from {name for name, _ in seen}


def bare_environment(folder: Path, lines: list[str]) -> Path:
    """Make an environment with the given requirements and what they need; returns its Python.

    The packages are links to those installed here, so everything else that is installed here,
    this project too, cannot be imported.
    """
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in closure(lines):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # needed on other platforms
            continue
        for top in {Path(file).parts[0] for file in distribution.files or []}:
            link = packages / top
            if top not in ("..", "__pycache__") and not link.exists():
                link.symlink_to(distribution.locate_file(top))
    return folder / "bin" / "python"

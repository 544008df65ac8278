"""Searching folders."""

import os
from pathlib import Path


def files_below(folder: Path | str) -> list[Path]:
    """List the files below a folder, sorted; links are followed, and no folder is read twice.

    What is hidden, and the metadata that macOS puts into archives, is left out.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for place, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above, or a second one to the same folder
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if name[0] != "." and name != "__MACOSX")
        paths = (Path(place, name) for name in files if name[0] != ".")
        found += [path for path in paths if path.is_file()]
    return sorted(found)

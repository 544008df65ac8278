"""Finding the recordings that a command line names."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from hub_model.audio import AUDIO_SUFFIXES
from speech_emotion.predict import PredictError


def find_clips(names: Iterable[str], *, on_note: Callable[[str], None] | None = None) -> list[str]:
    """List recordings, each once and in a fixed order.

    Args:
        names: files; folders, which are searched for recordings; patterns such as
            ``"calls/**/*.wav"``; or ``-`` for names that are read from standard input, one a line.
        on_note: called with a line on the files of a folder that are no recordings by their names.

    Returns:
        paths. A folder or pattern without recordings stays as it is beside others, so that its
        error is reported.

    Raises:
        PredictError: there is no recording at all.
    """
    found: dict[str, None] = {}
    empty: dict[str, str] = {}
    for name in names:
        paths, why_none = _expand(name, on_note)
        found |= dict.fromkeys(paths)
        if not paths:
            empty[name] = why_none
    if not found:
        name, why = next(iter(empty.items()))
        raise PredictError(f"{name}: {why}")
    return [*found, *empty]


def _expand(name: str, on_note: Callable[[str], None] | None) -> tuple[list[str], str]:
    """The recordings that a name stands for, and the reason when there are none."""
    if name == "-":
        lines = (line.rstrip("\r\n") for line in sys.stdin)
        return [line for line in lines if line], "no names were read from standard input"
    if Path(name).is_dir():
        found, others = _search(name)
        if others and on_note:
            kinds = ", ".join(f"{count} {kind or 'without ending'}" for kind, count in others)
            on_note(f"{name}: left out, not recordings by their names: {kinds}")
        return found, "no recordings in this folder"
    if glob.has_magic(name) and not Path(name).exists():
        paths = glob.glob(name, recursive=True)
        return sorted(filter(os.path.isfile, paths)), "no file matches"
    return [name], ""


def _search(folder: str) -> tuple[list[str], list[tuple[str, int]]]:
    """The recordings in a folder and its links, and how many other files there are by ending."""
    found, others, seen = [], Counter[str](), set()
    for place, inner, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder above
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            suffix = path.suffix.lower()
            if suffix in AUDIO_SUFFIXES and path.is_file():
                found.append(str(path))
            else:
                others[suffix] += 1
    return sorted(found), sorted(others.items())


class Paths:
    """Recordings as a data set, for which the pipeline yields results one by one."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> str:
        return self._paths[index]

"""Finding the recordings that a command line names."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hub_model.audio import AUDIO_SUFFIXES
from speech_emotion.predict import PredictError


def find_clips(names: Iterable[str]) -> list[str]:
    """List recordings, each once and in a fixed order.

    Args:
        names: files; folders, which are searched for recordings; patterns such as
            ``"calls/**/*.wav"``; or ``-`` for names that are read from standard input, one a line.

    Returns:
        paths. A folder or pattern without recordings stays as it is beside others, so that its
        error is reported.

    Raises:
        PredictError: there is no recording at all.
    """
    found: dict[str, None] = {}
    empty: dict[str, str] = {}
    for name in names:
        paths, why_none = _expand(name)
        found |= dict.fromkeys(paths)
        if not paths:
            empty[name] = why_none
    if not found:
        name, why = next(iter(empty.items()))
        raise PredictError(f"{name}: {why}")
    return [*found, *empty]


def _expand(name: str) -> tuple[list[str], str]:
    """The recordings that a name stands for, and the reason when there are none."""
    if name == "-":
        lines = (line.rstrip("\r\n") for line in sys.stdin)
        return [line for line in lines if line], "no names were read from standard input"
    if Path(name).is_dir():
        return sorted(map(str, _walk(name))), "no recordings in this folder"
    if glob.has_magic(name) and not Path(name).exists():
        paths = glob.glob(name, recursive=True)
        return sorted(filter(os.path.isfile, paths)), "no file matches"
    return [name], ""


def _walk(folder: str) -> Iterator[Path]:
    for path in Path(folder).rglob("*"):
        hidden = path.name.startswith(".")
        if path.suffix.lower() in AUDIO_SUFFIXES and not hidden and path.is_file():
            yield path


class Paths:
    """Recordings as a data set, for which the pipeline yields results one by one."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> str:
        return self._paths[index]

"""Finding the recordings that a command line names."""

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus_builder.folders import files_below
from corpus_builder.tables import TABLE_SUFFIXES, read_table
from hub_model.audio import AUDIO_SUFFIXES
from speech_emotion.predict import PredictError

Note = Callable[[str], None]


@dataclass(frozen=True)
class Recording:
    """A recording to classify.

    Attributes:
        name: its path; ``-`` for standard input.
        content: its bytes, when they were read from standard input.
        text: the transcript, when it is known.
        speaker: who speaks; empty when that is not known.
        turns: who speaks when, each a dict with start, end and speaker; none are an error.
    """

    name: str
    content: bytes | None = None
    text: str | None = None
    speaker: str = ""
    turns: Sequence[dict[str, Any]] | None = None


class Recordings:
    """Recordings as a data set, for which the pipeline yields results one by one."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._recordings = recordings

    def __len__(self) -> int:
        return len(self._recordings)

    def __getitem__(self, index: int) -> Any:
        found = self._recordings[index]
        return found.name if found.content is None else {"bytes": found.content, "path": found.name}


def find_recordings(names: Iterable[str], *, on_note: Note | None = None) -> list[Recording]:
    """List recordings, each once and in a fixed order.

    Args:
        names: files; folders, which are searched for recordings; patterns such as
            ``"calls/**/*.wav"``; tables with the column ``path`` (or ``file``, as ``--format csv``
            writes it) and, if there are any, ``transcript`` and ``speaker``; or ``-`` for standard
            input, which holds a recording, or names, one a line.
        on_note: called with a line on what a folder or table holds that is left out.

    Returns:
        the recordings. A folder or pattern without any stays as it is beside others, so that its
        error is reported.

    Raises:
        PredictError: there is no recording at all.
        TableError: a table cannot be read.
    """
    found: dict[str, Recording] = {}
    empty: dict[str, str] = {}
    for name in names:
        recordings, why_none = _expand(name, on_note or (lambda line: None))
        for recording in recordings:
            found.setdefault(recording.name, recording)
        if not recordings:
            empty[name] = why_none
    if not found:
        name, why = next(iter(empty.items()))
        raise PredictError(f"{name}: {why}")
    return [*found.values(), *map(Recording, empty)]


def _expand(name: str, on_note: Note) -> tuple[list[Recording], str]:
    """The recordings that a name stands for, and the reason when there are none."""
    if name == "-":
        return _standard_input(), "nothing was read from standard input"
    if Path(name).is_dir():
        return _of_folder(name, on_note), "no recordings in this folder"
    if Path(name).suffix.lower() in TABLE_SUFFIXES:
        return _of_table(name, on_note), ""
    if glob.has_magic(name) and not Path(name).exists():
        paths = glob.glob(name, recursive=True)
        return list(map(Recording, sorted(filter(os.path.isfile, paths)))), "no file matches"
    return [Recording(name)], ""


def _standard_input() -> list[Recording]:
    """One recording, whose bytes are no text, or the recordings that are named there."""
    content = sys.stdin.buffer.read()
    if b"\0" in content:
        return [Recording("-", content=content)]
    lines = content.decode(errors="surrogateescape").splitlines()
    return [Recording(line) for line in lines if line]


def _of_folder(name: str, on_note: Note) -> list[Recording]:
    found, others = [], Counter[str]()
    for path in files_below(name):
        suffix = path.suffix.lower()
        if suffix in AUDIO_SUFFIXES:
            found.append(Recording(str(path)))
        else:
            others[suffix] += 1
    if others:
        kinds = ", ".join(f"{count} {kind or 'without ending'}" for kind, count in others.items())
        on_note(f"{name}: left out, not recordings by their names: {kinds}")
    return found


def _of_table(name: str, on_note: Note) -> list[Recording]:
    table = read_table(
        name, optional=("transcript", "speaker"), aliases={"file": "path"}, on_bad=on_note
    )
    found: dict[str, Recording] = {}
    for number, row in zip(table.lines, table.rows, strict=True):
        path = str(table.file(row["path"]))
        recording = Recording(path, text=row["transcript"] or None, speaker=row["speaker"])
        if found.setdefault(path, recording) is not recording:
            on_note(f"{name}: line {number}: {row['path']} is listed before; left out")
    return list(found.values())

"""Reading who speaks when: RTTM files, and tables of start, end and speaker."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus_builder.tables import TABLE_SUFFIXES, TableError, read_table
from hub_model.turns import turns_of
from speech_emotion.predict import PredictError

SUFFIXES = TABLE_SUFFIXES | {".rttm"}
"""File name endings, in lower case, by which a file of turns is told from names of speakers."""

Turns = dict[str, list[dict[str, Any]]]
"""By recording; under an empty name for a table that names none."""


def read_turns(path: Path) -> Turns:
    """Read the turns of one recording or of several.

    Args:
        path: RTTM (``SPEAKER file channel start duration <NA> <NA> speaker``, as diarisers write
            it), or a table with the columns ``start``, ``end``, ``speaker`` and perhaps ``file``.
            Times are in seconds.

    Raises:
        PredictError: it cannot be read, or a turn makes no sense; one line.
    """
    found: Turns = {}
    for number, recording, *fields in _rttm(path) if _is_rttm(path) else _table(path):
        try:
            start, end = float(fields[0]), float(fields[1])
        except ValueError as error:
            raise PredictError(f"{path}: line {number}: a time is no number of seconds") from error
        end = start + end if _is_rttm(path) else end
        turn = {"start": start, "end": end, "speaker": fields[2]}
        found.setdefault(recording, []).append(turn)
    if not found:
        raise PredictError(f"{path}: holds no turns")
    for recording, turns in found.items():
        try:
            turns_of(turns)
        except ValueError as error:
            where = f"{path}: {recording}" if recording else str(path)
            raise PredictError(f"{where}: {str(error).removeprefix('speakers: ')}") from error
    return found


def turns_for(recording: str, turns: Mapping[str, Any], *, only: bool) -> Any | None:
    """The turns of a recording, which a file of turns names by path, by name or without ending.

    Args:
        recording: its path.
        turns: of :func:`read_turns`.
        only: it is the only one; a table without the column ``file`` is then about it.
    """
    path = Path(recording)
    names = [recording, path.name, path.stem, *([""] if only else [])]
    return next((turns[name] for name in names if name in turns), None)


def _is_rttm(path: Path) -> bool:
    return path.suffix.lower() == ".rttm"


def _table(path: Path) -> list[list[Any]]:
    """Line, recording, start, end and speaker of each turn."""
    try:
        table = read_table(path, required=("start", "end", "speaker"), optional=("file",))
    except TableError as error:
        raise PredictError(str(error)) from error
    return [
        [number, row["file"], row["start"], row["end"], row["speaker"]]
        for number, row in zip(table.lines, table.rows, strict=True)
    ]


def _rttm(path: Path) -> list[list[Any]]:
    """Line, recording, start, duration and speaker of each turn."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise PredictError(f"{path}: cannot be read ({reason})") from error
    found: list[list[Any]] = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith(";") or fields[0] == "SPKR-INFO":
            continue
        if fields[0] != "SPEAKER" or len(fields) < 8:
            raise PredictError(
                f"{path}: line {number} is no line of RTTM: SPEAKER file channel start duration "
                "<NA> <NA> speaker"
            )
        found.append([number, fields[1], fields[3], fields[4], fields[7]])
    return found

"""Where rows go: the screen, one file, or one file a recording."""

import csv
import io
import json
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speech_emotion.cli import CommandError
from speech_emotion.predict.formats import as_csv, as_json, csv_lines

Row = dict[str, Any]


class Results(ABC):
    """Takes rows in the order of the recordings.

    Attributes:
        failed_before: rows of an earlier run that carry an error.
    """

    failed_before = 0

    @abstractmethod
    def missing(self, files: Sequence[str]) -> list[str]:
        """Return the recordings that have no row yet."""

    @abstractmethod
    def write(self, file: str, row: Row) -> None:
        """Take one row; when this returns, a kill of the process does not lose it."""


class Screen(Results):
    """Standard output; the error of a row goes to standard error alone."""

    def __init__(self, show: Callable[[str, Row], str], *, header: str = "") -> None:
        self._show = show
        sys.stdout.write(header)

    def missing(self, files: Sequence[str]) -> list[str]:
        """All of them."""
        return list(files)

    def write(self, file: str, row: Row) -> None:
        """Print it at once."""
        if "error" not in row:
            sys.stdout.write(self._show(file, row))
            sys.stdout.flush()


class Lines(Results):
    """One file of JSON lines or CSV, with a row for every error.

    Args:
        path: the file.
        resume: keep the rows that are there. What a killed process wrote only in part is dropped.
        columns: of a CSV file; without them JSON lines are written.

    Raises:
        CommandError: the file is there and is not to be kept, cannot be written, or has other
            columns.
    """

    def __init__(self, path: Path, *, resume: bool, columns: Sequence[str] | None = None) -> None:
        self._columns = columns
        self._done: set[str] = set()
        header = csv_lines([dict(zip(columns, columns, strict=True))], columns) if columns else ""
        _refuse_existing(path, resume)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = self._kept(path, header) if path.exists() else ""
            if not kept:
                kept = header
            _write_whole(path, kept)
            self._file = path.open("a", encoding="utf-8", newline="")
        except OSError as error:
            raise CommandError(f"--out {path}: {error.strerror}") from error

    def missing(self, files: Sequence[str]) -> list[str]:
        """Those that are not in the file."""
        return [file for file in files if file not in self._done]

    def write(self, file: str, row: Row) -> None:
        """Append all lines of a recording in one go."""
        columns = self._columns
        self._file.write(as_csv(file, row, columns) if columns else as_json(file, row))
        self._file.flush()

    def _kept(self, path: Path, header: str) -> str:
        text = path.read_bytes().decode("utf-8", errors="replace")
        text = text[: text.rfind("\n") + 1]
        if not self._columns:
            try:
                rows = [json.loads(line) for line in text.splitlines()]
            except json.JSONDecodeError as error:
                raise CommandError(f"--out {path}: not JSON lines; name another file") from error
        else:
            if text and not text.startswith(header):
                raise CommandError(f"--out {path}: its columns are others; name another file")
            rows = list(csv.DictReader(io.StringIO(text)))
            if "start" in self._columns and rows:
                # The last recording may lack some of its lines, and is done again.
                last = rows[-1]["file"]
                rows = [row for row in rows if row["file"] != last]
                text = header + csv_lines(rows, self._columns)
        self._done = {row["file"] for row in rows}
        self.failed_before = sum(bool(row.get("error")) for row in rows)
        return text


class OneEach(Results):
    """One file a recording, written whole; recordings that failed have none.

    Args:
        out: the folder, or the file when there is one recording.
        files: all recordings.
        suffix: of the files, such as ``.srt``.
        show: a row as text.
        resume: keep files that are there.

    Raises:
        CommandError: a file is there and is not to be kept.
    """

    def __init__(
        self,
        out: Path,
        files: Sequence[str],
        *,
        suffix: str,
        show: Callable[[Row], str],
        resume: bool,
    ) -> None:
        self._show = show
        self._paths = _destinations(out, files, suffix)
        for path in self._paths.values():
            _refuse_existing(path, resume)

    def missing(self, files: Sequence[str]) -> list[str]:
        """Those whose file is not there."""
        return [file for file in files if not self._paths[file].exists()]

    def write(self, file: str, row: Row) -> None:
        """Write the file of one recording."""
        if "error" in row:
            return
        path = self._paths[file]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, self._show(row))
        except OSError as error:
            raise CommandError(f"--out {path}: {error.strerror}") from error


def _destinations(out: Path, files: Sequence[str], suffix: str) -> dict[str, Path]:
    if len(files) == 1 and out.suffix and not out.is_dir():
        return {files[0]: out}
    absolute = [Path(os.path.abspath(file)) for file in files]
    root = os.path.commonpath([path.parent for path in absolute])
    inside = [path.relative_to(root) for path in absolute]
    # Players look for talk.srt beside talk.wav; talk.mp3 beside it gets talk.mp3.srt.
    same = Counter(path.with_suffix("") for path in inside)
    found = {}
    for file, path in zip(files, inside, strict=True):
        alone = same[path.with_suffix("")] == 1
        found[file] = out / (path.with_suffix(suffix) if alone else f"{path}{suffix}")
    return found


def _refuse_existing(path: Path, resume: bool) -> None:
    if path.exists() and not resume:
        raise CommandError(f"--out {path}: is there; go on with --resume, or name another")


def _write_whole(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8", newline=""
    ) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)

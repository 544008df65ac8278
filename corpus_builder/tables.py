"""The one reader of tables that list recordings: text, label and more, a line a recording."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from corpus_builder import CorpusError


class TableError(CorpusError):
    """A table that cannot be read. The message is one line that names the file and the line."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The content of a table.

    Args:
        path: the file.
        columns: names of the columns, as the keys of ``rows`` spell them.
        rows: column -> text, without white space at its ends; an empty cell is ``""``. Every named
            column is a key, whether the file has it or not.
        lines: the number of each row's last line in the file, from 1.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]

    @property
    def folder(self) -> Path:
        """Return the folder that relative paths in the table refer to."""
        return self.path.parent


def read_table(
    path: Path | str,
    *,
    required: Sequence[str] = ("path",),
    optional: Sequence[str] = (),
    allow_empty: bool = False,
) -> Table:
    """Read a CSV file in UTF-8 with a header line.

    Names of columns are compared without regard to case and to white space at their ends. Further
    columns are kept. Lines without any text are left out, and a line with fewer cells than the
    header has empty ones at its end.

    Args:
        path: the file.
        required: columns that the file must have.
        optional: columns that it may have.
        allow_empty: a cell of a required column may be empty.

    Raises:
        TableError: the file cannot be read; it is not a CSV file in UTF-8; a column is missing or
            is there twice; a line has more cells than the header; a required cell is empty; or
            there is no line but the header.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _read(file, path, [*required, *optional], required, allow_empty=allow_empty)
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise TableError(f"{path}: not a table: line {line} is not text in UTF-8") from error


def _read(
    file: TextIO, path: Path, named: Sequence[str], required: Sequence[str], *, allow_empty: bool
) -> Table:
    lines = _lines(file, path)
    _, header = next(lines, (1, []))
    spelling = {name.lower(): name for name in named}
    columns = [spelling.get(name.lower(), name) for name in header]
    missing = [name for name in required if name not in columns]
    if missing:
        raise TableError(
            f"{path}: expected the columns {_joined(required)}; "
            f"found {_joined(header) or 'nothing'}"
        )
    for name in named:
        if columns.count(name) > 1:
            raise TableError(f"{path}: the column {name} is there twice")
    table = Table(path=path, columns=tuple(columns), rows=[], lines=[])
    for number, cells in lines:
        if any(cells[len(columns) :]):
            raise TableError(
                f"{path}: line {number} has {len(cells)} cells, the header {len(columns)}; put "
                'text that holds a comma in quotation marks (")'
            )
        row = dict.fromkeys(named, "") | dict.fromkeys(columns, "")
        row |= dict(zip(columns, cells, strict=False))
        empty = [name for name in required if not row[name]]
        if empty and not allow_empty:
            raise TableError(f"{path}: line {number} has no {' and no '.join(empty)}")
        table.rows.append(row)
        table.lines.append(number)
    if not table.rows:
        raise TableError(f"{path}: a header and no line below it")
    return table


def _joined(columns: Sequence[str]) -> str:
    return ", ".join(name or '""' for name in columns)


def _lines(file: TextIO, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of every line that holds text."""
    reader = csv.reader(file)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise TableError(f"{path}: not a table: line {reader.line_num}: {error}") from error

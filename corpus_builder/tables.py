"""The one reader of tables that list recordings: text, label and more, a line a recording."""

import codecs
import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from urllib.parse import unquote

from corpus_builder import CorpusError

DELIMITERS = (",", ";", "\t", "|")
"""What may divide the columns; the first by which the header has the columns asked for."""

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encoding by the bytes that a file begins with."""

TABLE_SUFFIXES = frozenset((".csv", ".tsv"))
"""File name endings, in lower case, by which a table is told from a recording."""


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

    def file(self, name: str) -> Path:
        r"""Return the file that a cell names, relative to the folder of the table.

        A name with ``\``, as Windows writes it, and one whose letters are composed in another way,
        as macOS writes it, is found too; so is a ``file://`` address.
        """
        if name.startswith("file://"):
            name = unquote(name.removeprefix("file://").removeprefix("localhost"))
        if PureWindowsPath(name).drive and not Path(name).is_absolute():
            return Path(name)
        path = self.path.parent / name
        if not path.exists():
            plain = name.replace("\\", "/")
            for form in ("NFC", "NFD"):
                other = self.path.parent / unicodedata.normalize(form, plain)
                if other.exists():
                    return other
        return path


def read_table(
    path: Path | str,
    *,
    required: Sequence[str] = ("path",),
    optional: Sequence[str] = (),
    aliases: Mapping[str, str] = MappingProxyType({}),
    allow_empty: bool = False,
    on_bad: Callable[[str], None] | None = None,
) -> Table:
    r"""Read a table with a header line, as spreadsheets write it.

    The columns are divided by commas, semicolons, tabs or ``|``. The text is UTF-8 or UTF-16, or
    Windows-1252 when it is neither. Names of columns are compared without regard to case and to
    white space at their ends. Further columns are kept. Lines without any text are left out, and a
    line with fewer cells than the header has empty ones at its end.

    Args:
        path: the file.
        required: columns that the file must have.
        optional: columns that it may have.
        aliases: other names of columns, each with the name whose place it takes where the file does
            not have that.
        allow_empty: a cell of a required column may be empty.
        on_bad: called with one line of text for each line of the table that cannot be used, which
            is left out. Without it such a line is an error.

    Raises:
        TableError: the file cannot be read; it is not a table; a column is missing or is there
            twice; a line has more cells than the header, or a required cell is empty; or no line
            is left.
    """
    path = Path(path)
    header, lines = _header_and_lines(path, (*required, *aliases))
    named = [*required, *optional]
    spelling = {name.casefold(): name for name in named}
    there = {name.casefold() for name in header}
    for alias, name in aliases.items():
        if name.casefold() not in there:
            spelling.setdefault(alias.casefold(), name)
    columns = [spelling.get(name.casefold(), name) for name in header]
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
        row = dict.fromkeys(named, "") | dict.fromkeys(columns, "")
        row |= dict(zip(columns, cells, strict=False))
        empty = [name for name in required if not row[name]]
        bad = None
        if any(cells[len(columns) :]):
            bad = (
                f"{path}: line {number} has {len(cells)} cells, the header {len(columns)}; put "
                'text that holds a delimiter in quotation marks (")'
            )
        elif empty and not allow_empty:
            bad = f"{path}: line {number} has no {' and no '.join(empty)}"
        if bad is None:
            table.rows.append(row)
            table.lines.append(number)
        elif on_bad is None:
            raise TableError(bad)
        else:
            on_bad(f"{bad}; left out")
    if not table.rows:
        raise TableError(f"{path}: a header and no usable line below it")
    return table


def _header_and_lines(
    path: Path, required: Sequence[str]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The header by the delimiter that suits it best, and the lines below."""
    text = _text(path)
    first = text.partition("\n")[0].strip()
    skipped = first.lower().startswith("sep=")  # a hint of Excel
    if skipped:
        text = text.partition("\n")[2]
    wanted = {name.casefold() for name in required}
    best: tuple[int, list[str], Iterator] = (-1, [], iter(()))
    for delimiter in DELIMITERS:
        lines = _lines(text, path, delimiter, int(skipped))
        header = next(lines, (0, []))[1]
        found = len(wanted & {name.casefold() for name in header})
        if found > best[0]:
            best = found, header, lines
    return best[1:]


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    encodings = [name for mark, name in MARKS.items() if data.startswith(mark)]
    if not encodings and b"\0" in data:
        # Every second byte of Western text in UTF-16 is 0.
        encodings = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le"]
    for encoding in encodings or ["utf-8", "cp1252"]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise TableError(f"{path}: not a table: its bytes are not text in UTF-8, UTF-16 or CP1252")


def _joined(columns: Sequence[str]) -> str:
    return ", ".join(name or '""' for name in columns)


def _lines(text: str, path: Path, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of every line that holds text."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num + skipped, stripped
    except csv.Error as error:
        line = reader.line_num + skipped
        raise TableError(f"{path}: not a table: line {line}: {error}") from error

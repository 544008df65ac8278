"""Parquet: the same table as CSV, with types."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.base import readable, refuse_existing
from speech_emotion.predict.writers.csv_table import CsvTable, overlap_text

TEXTS = frozenset(("file", "speaker", "label", "transcript", "note", "error"))
"""Columns of text; those of numbers are float64."""

FLAGS = frozenset(("overlap",))
"""Columns of true and false."""

GROUP = 10_000
"""Lines in a row group."""


class ParquetTable(CsvTable):
    """A parquet file, which is written when all recordings are done.

    Until then the lines are in a CSV file beside it (``calls.parquet.part``), so that a run that
    is stopped loses nothing and goes on with ``--resume``.
    """

    errors = "backslashreplace"

    def __init__(self, path: Path, *, resume: bool, columns: Sequence[str]) -> None:
        refuse_existing(path, resume)
        self._part = path.with_name(f"{path.name}.part")
        if path.exists() and not self._part.exists():
            _write_csv(path, self._part)
            resume = True
        super().__init__(self._part, resume=resume, columns=columns)
        self._path = path

    def name_of(self, file: str) -> str:
        """The name of a recording, as the file has it."""
        return readable(file)

    def close(self) -> None:
        """Write the parquet file, and remove the other."""
        self._file.close()
        schema = pa.schema({name: _kind(name) for name in self._columns})
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with (
                self._part.open(encoding="utf-8", newline="") as file,
                pq.ParquetWriter(new, schema) as writer,
            ):
                for rows in _groups(csv.DictReader(file)):
                    writer.write_table(pa.Table.from_pylist(rows, schema))
            os.replace(new, self._path)
            self._part.unlink()
        except OSError as error:
            raise PredictError(f"--out {self._path}: {error.strerror}") from error


def _groups(lines: Iterable[dict[str, str]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for line in lines:
        values = {name: _value(name, text) for name, text in line.items()}
        group.append(values)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _kind(name: str) -> pa.DataType:
    return pa.string() if name in TEXTS else pa.bool_() if name in FLAGS else pa.float64()


def _value(name: str, text: str) -> str | bool | float | None:
    if text == "" or name in TEXTS:
        return text or None
    return text == "true" if name in FLAGS else float(text)


def _write_csv(path: Path, part: Path) -> None:
    """Turn an existing file back into lines, to which more are added."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise PredictError(f"--out {path}: not a parquet file; name another file") from error
    new = part.with_name(f"{part.name}.new")
    with file, new.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, file.schema_arrow.names, lineterminator="\n")
        writer.writeheader()
        for batch in file.iter_batches():
            writer.writerows(row | overlap_text(row) for row in batch.to_pylist())
    os.replace(new, part)

"""``csv``: a user's own recordings, from a table of path, emotion and speaker."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from corpus_builder import CorpusError
from corpus_builder.labels import LABEL_MAPS
from corpus_builder.sources.base import Rejected, Source, Utterance
from corpus_builder.tables import read_table

REQUIRED = ("path", "emotion", "speaker")
OPTIONAL = ("gender", "intensity", "sentence", "transcript", "session", "age", "fold")


class TableSource(Source):
    """Reader of a CSV file with the columns ``path``, ``emotion`` and ``speaker``.

    Paths are relative to the table. Further columns are used when they are there: ``gender``,
    ``intensity``, ``sentence`` (the same text or number means the same sentence), ``transcript``,
    ``session``, ``age`` and ``fold``.

    Args:
        root: the table, or a folder that holds exactly one.

    Raises:
        CorpusError: no such file, or not such a table.
    """

    name: ClassVar[str] = "csv"
    title: ClassVar[str] = "own recordings"
    url: ClassVar[str] = ""
    licence: ClassVar[str] = "other"
    redistributable: ClassVar[bool] = False

    def __init__(self, root: Path) -> None:
        tables = sorted(root.glob("*.csv")) if root.is_dir() else [root]
        if len(tables) != 1:
            raise CorpusError(f"csv: expected one .csv file in {root}; found {len(tables)}")
        if not tables[0].is_file():
            raise CorpusError(f"csv: no such file: {root}")
        self.table = tables[0]
        super().__init__(self.table.parent)

    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield the recordings in the order of the table."""
        table = read_table(self.table, required=REQUIRED, optional=OPTIONAL, allow_empty=True)
        known = LABEL_MAPS[self.name]
        seen: set[str] = set()
        for number, row in zip(table.lines, table.rows, strict=True):
            path = self.root / row["path"]
            label = row["emotion"].lower()
            inside = path.resolve().is_relative_to(self.root.resolve())
            if not row["path"] or not inside:
                # There is no usable path, so the table is the rejected file.
                detail = f"line {number}: path {row['path']!r} is not below the table's folder"
                yield self.reject(self.table, "name", detail)
            elif label not in known:
                detail = f"line {number}: emotion {row['emotion']!r} is none of {', '.join(known)}"
                yield self.reject(path, "label", detail)
            elif not row["speaker"]:
                yield self.reject(path, "label", f"line {number}: no speaker")
            elif row["path"] in seen:
                yield self.reject(path, "repeated", f"line {number}: listed before")
            elif not path.is_file():
                yield self.reject(path, "missing", f"line {number}: no such file")
            else:
                seen.add(row["path"])
                yield self._utterance(path, label, row)

    def _utterance(self, path: Path, label: str, row: Mapping[str, str]) -> Utterance:
        def number(column: str) -> int | None:
            return int(row[column]) if row[column].isdecimal() else None

        name = path.relative_to(self.root).as_posix().replace("/", "--")
        gender = row["gender"].lower()
        return Utterance(
            utterance_id=f"csv-{name}",
            corpus=self.name,
            path=path,
            source_label=label,
            speaker_id=f"csv-{row['speaker']}",
            gender={"f": "female", "m": "male"}.get(gender, gender) or None,
            intensity=row["intensity"] or None,
            sentence_id=f"csv-{row['sentence']}" if row["sentence"] else None,
            transcript=row["transcript"] or None,
            age=number("age"),
            session=row["session"] or None,
            fold=number("fold"),
        )

"""``csv``: anybody's own recordings, from a table of path, emotion and speaker."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from corpus_builder.labels import LABEL_MAPS
from corpus_builder.sources.base import CorpusError, Rejected, Source, Utterance

REQUIRED = ("path", "emotion", "speaker")


class Table(Source):
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
        seen: set[str] = set()
        for number, row in self._rows():
            path = self.root / row["path"]
            known = LABEL_MAPS[self.name]
            label = row["emotion"].lower()
            inside = path.resolve().is_relative_to(self.root.resolve())
            if not row["path"] or not inside:
                # Without a usable name there is only the table itself to point at.
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
        def text(column: str) -> str | None:
            return row.get(column) or None

        def number(column: str) -> int | None:
            value = row.get(column, "")
            return int(value) if value.isdecimal() else None

        name = path.relative_to(self.root).as_posix().replace("/", "--")
        gender = row.get("gender", "").lower()
        return Utterance(
            utterance_id=f"csv-{name}",
            corpus=self.name,
            path=path,
            source_label=label,
            speaker_id=f"csv-{row['speaker']}",
            gender={"f": "female", "m": "male"}.get(gender, gender) or None,
            intensity=text("intensity"),
            sentence_id=f"csv-{row['sentence']}" if text("sentence") else None,
            transcript=text("transcript"),
            age=number("age"),
            session=text("session"),
            fold=number("fold"),
        )

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        try:
            with self.table.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, restval="")
                columns = [name.strip().lower() for name in reader.fieldnames or ()]
                missing = [name for name in REQUIRED if name not in columns]
                if missing:
                    raise CorpusError(
                        f"csv: {self.table}: expected the columns {', '.join(REQUIRED)}; "
                        f"found {', '.join(columns) or 'nothing'}"
                    )
                reader.fieldnames = columns
                for row in reader:
                    row.pop(None, None)
                    yield reader.line_num, {name: value.strip() for name, value in row.items()}
        except (UnicodeDecodeError, csv.Error) as error:
            raise CorpusError(f"csv: {self.table}: not a table ({error})") from error

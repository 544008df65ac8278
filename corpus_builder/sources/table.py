"""``csv``: a user's own recordings, from a table of path, emotion and speaker."""

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from corpus_builder import CorpusError
from corpus_builder.labels import VOTE_CLASSES, check_label_map, label_of, plain_word
from corpus_builder.sources.base import RATINGS, Rejected, Source, Utterance
from corpus_builder.tables import TABLE_SUFFIXES, read_table
from hub_model.labels import EMOTIONS

REQUIRED = ("path", "emotion", "speaker")
OPTIONAL = ("gender", "intensity", "sentence", "transcript", "session", "age", "fold", *RATINGS)


class TableSource(Source):
    """Reader of a table with the columns ``path``, ``emotion`` and ``speaker``.

    Paths are relative to the table. Further columns are used when they are there: ``gender``,
    ``intensity``, ``sentence`` (the same text or number means the same sentence), ``transcript``,
    ``session``, ``age``, ``fold``, and numbers: ``valence``, ``activation``, ``dominance`` and the
    Big Five, ``openness`` to ``neuroticism``.

    Args:
        root: the table, or a folder that holds exactly one.
        labels: the classes that may be meant; see :func:`~corpus_builder.labels.label_of`.
        words: what words of the table mean; see :func:`~corpus_builder.labels.read_label_map`.

    Raises:
        CorpusError: no such file, or not such a table.
    """

    name: ClassVar[str] = "csv"
    title: ClassVar[str] = "own recordings"
    url: ClassVar[str] = ""
    licence: ClassVar[str] = "other"
    redistributable: ClassVar[bool] = False

    def __init__(
        self,
        root: Path,
        *,
        labels: Sequence[str] = VOTE_CLASSES,
        words: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        check_label_map(words, labels)
        tables = [root]
        if root.is_dir():
            tables = sorted(p for p in root.iterdir() if p.suffix.lower() in TABLE_SUFFIXES)
        if len(tables) != 1:
            raise CorpusError(f"csv: expected one table in {root}; found {len(tables)}")
        if not tables[0].is_file():
            raise CorpusError(f"csv: no such file: {root}")
        self.table, self.labels, self.words = tables[0], tuple(labels), dict(words)
        super().__init__(self.table.parent)

    def options(self) -> dict[str, object]:
        """Return what words of the table mean."""
        return {"words": self.words} if self.words else {}

    def harmonise(self, source_label: str, *, labels: Collection[str] = EMOTIONS) -> str | None:
        """See :meth:`Source.harmonise`."""
        return label_of(source_label, labels, self.words)

    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield the recordings in the order of the table."""
        bad: list[str] = []
        table = read_table(
            self.table, required=REQUIRED, optional=OPTIONAL, allow_empty=True, on_bad=bad.append
        )
        yield from (self.reject(self.table, "name", line) for line in bad)
        files = [table.file(row["path"]) for row in table.rows]
        places = _places(self.root, files)
        seen: set[Path] = set()
        for number, path, place, row in zip(table.lines, files, places, table.rows, strict=True):
            word = row["emotion"]
            if not row["path"]:
                # There is no path, so the table is the rejected file.
                yield self.reject(self.table, "name", f"line {number}: no path")
            elif label_of(word, self.labels, self.words) is None:
                detail = f"line {number}: emotion {word!r} is none of {', '.join(self.labels)}"
                if self.words.get(plain_word(word), "") is None:
                    detail = f"line {number}: {word!r} is left out"
                rejected = self.reject(path, "label", detail)
                yield replace(rejected, label=word) if word else rejected
            elif not row["speaker"]:
                yield self.reject(path, "label", f"line {number}: no speaker")
            elif path in seen:
                yield self.reject(path, "repeated", f"line {number}: listed before")
            elif not path.is_file():
                yield self.reject(path, "missing", f"line {number}: no such file")
            else:
                seen.add(path)
                yield self._utterance(path, place, row)

    def _utterance(self, path: Path, place: Path, row: Mapping[str, str]) -> Utterance:
        def number(column: str) -> int | None:
            return int(row[column]) if row[column].isdecimal() else None

        name = place.as_posix().replace("/", "--")
        gender = row["gender"].lower()
        ratings: dict[str, Any] = {name: _rating(row[name]) for name in RATINGS}
        return Utterance(
            utterance_id=f"csv-{name}",
            corpus=self.name,
            path=path,
            source_label=row["emotion"],
            speaker_id=f"csv-{row['speaker']}",
            gender={"f": "female", "m": "male"}.get(gender, gender) or None,
            intensity=row["intensity"] or None,
            sentence_id=f"csv-{row['sentence']}" if row["sentence"] else None,
            transcript=row["transcript"] or None,
            age=number("age"),
            session=row["session"] or None,
            fold=number("fold"),
            **ratings,
        )


def _rating(cell: str) -> float | None:
    try:
        return float(cell) if math.isfinite(float(cell)) else None
    except ValueError:
        return None


def _places(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Paths relative to the folder of the table; to a higher one when some are not below it."""
    whole = [Path(os.path.abspath(path)) for path in files]
    root = Path(os.path.abspath(folder))
    if not all(path.is_relative_to(root) for path in whole):
        root = Path(os.path.commonpath([root, *whole]))
    return [path.relative_to(root) for path in whole]

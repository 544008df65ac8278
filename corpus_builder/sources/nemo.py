"""nEMO: nine Polish actors, 90 sentences, six emotions (Christop, 2024, arXiv:2404.06292)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from corpus_builder.sources.base import NamedSource, Rejected, Utterance
from corpus_builder.tables import read_table

NAME = re.compile(
    r"(?P<speaker>[A-Z]{2}\d)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprised)"
    r"_(?P<sentence>\d{1,2})"
)
TABLE = "data.tsv"


class Nemo(NamedSource):
    """Reader of nEMO: file names, and the table ``data.tsv`` where it is found.

    The table gives the sentence, the gender and the age. It may lie beside, above or below the
    clips. Every actor reads the same sentences with every emotion. The text is Polish.
    """

    name: ClassVar[str] = "nemo"
    title: ClassVar[str] = "nEMO"
    url: ClassVar[str] = "https://github.com/amu-cai/nEMO"
    licence: ClassVar[str] = "cc-by-nc-sa-4.0"
    redistributable: ClassVar[bool] = True
    expected: ClassVar[str] = "files named like samples/EB0_anger_1.wav"

    def read(self) -> Iterator[Utterance | Rejected]:
        """Read the table, then the clips; see :meth:`Source.read`."""
        path = self.find(TABLE)
        columns = ("file_id", "raw_text", "gender", "age")
        rows = read_table(path, required=columns, allow_empty=True).rows if path else []
        self._rows = {Path(row["file_id"]).stem: row for row in rows}
        matches = [match for path in self.audio_files() if (match := self.match(path))]
        self._speakers = sorted({match["speaker"] for match in matches})
        yield from super().read()

    def match(self, path: Path) -> re.Match[str] | None:
        """See :meth:`NamedSource.match`."""
        return NAME.fullmatch(path.stem)

    def utterance(self, path: Path, match: re.Match[str]) -> Utterance:
        """See :meth:`NamedSource.utterance`. A fold is a speaker: leave one speaker out."""
        row = self._rows.get(path.stem, {})
        gender, age = row.get("gender", ""), row.get("age", "")
        return Utterance(
            utterance_id=f"nemo-{path.stem}",
            corpus=self.name,
            path=path,
            source_label=match["emotion"],
            speaker_id=f"nemo-{match['speaker']}",
            gender=gender if gender in ("female", "male") else None,
            sentence_id=f"nemo-{match['sentence']}",
            transcript=row.get("raw_text") or None,
            age=int(age) if age.isdigit() else None,
            fold=self._speakers.index(match["speaker"]),
        )

"""CREMA-D: 91 actors, twelve sentences, six emotions, listeners' votes (paper, section III-A)."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from corpus_builder.labels import VOTE_CLASSES
from corpus_builder.sources.base import NamedSource, Rejected, Utterance
from corpus_builder.tables import read_table

SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": None, "X": None}
VOTES = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
NUM_FOLDS = 5

PEOPLE = "VideoDemographics.csv"
VOTE_COUNTS = "processedResults/tabulatedVotes.csv"
MAJORITY_VOTES = "processedResults/summaryTable.csv"
TABLES = {
    PEOPLE: ("ActorID", "Age", "Sex"),
    VOTE_COUNTS: ("", "fileName", *VOTES),
    MAJORITY_VOTES: ("FileName", "VoiceVote"),
}
"""The tables of the corpus and the columns that are read."""

NAME = re.compile(
    rf"(?P<actor>10\d\d)_(?P<sentence>{'|'.join(SENTENCES)})"
    r"_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<intensity>LO|MD|HI|XX?)"
)


class CremaD(NamedSource):
    """Reader of CREMA-D: file names, and up to three tables where they are found.

    ``VideoDemographics.csv`` gives gender and age. ``processedResults/tabulatedVotes.csv`` gives
    the shares of the listeners' votes on the audio only. Without it, the majority in
    ``processedResults/summaryTable.csv`` is used; a tie is shared. The tables may lie beside,
    above or below the clips.
    """

    name: ClassVar[str] = "crema_d"
    title: ClassVar[str] = "CREMA-D"
    url: ClassVar[str] = "https://github.com/CheyneyComputerScience/CREMA-D"
    licence: ClassVar[str] = "odbl"
    redistributable: ClassVar[bool] = True
    expected: ClassVar[str] = "files named like AudioWAV/1001_DFA_ANG_XX.wav"

    def read(self) -> Iterator[Utterance | Rejected]:
        """Read the tables, then the clips; see :meth:`Source.read`."""
        self._people = {row["ActorID"]: row for row in self._table(PEOPLE)}
        self._votes = self._read_votes()
        yield from super().read()

    def match(self, path: Path) -> re.Match[str] | None:
        """See :meth:`NamedSource.match`."""
        return NAME.fullmatch(path.stem)

    def utterance(self, path: Path, match: re.Match[str]) -> Utterance:
        """See :meth:`NamedSource.utterance`.

        There are no published speaker-disjoint folds, so the fold is the actor's number modulo 5.
        """
        person = self._people.get(match["actor"], {})
        age = person.get("Age", "")
        gender = person.get("Sex", "").lower()
        return Utterance(
            utterance_id=f"crema_d-{path.stem}",
            corpus=self.name,
            path=path,
            source_label=match["emotion"],
            speaker_id=f"crema_d-{match['actor']}",
            gender=gender if gender in ("female", "male") else None,
            intensity=INTENSITIES[match["intensity"]],
            sentence_id=f"crema_d-{match['sentence']}",
            transcript=SENTENCES[match["sentence"]],
            age=int(age) if age.isdigit() else None,
            fold=int(match["actor"]) % NUM_FOLDS,
            votes=self._votes.get(path.stem),
        )

    def _read_votes(self) -> dict[str, tuple[float, ...]]:
        """Return per clip the shares of :data:`VOTE_CLASSES`; empty without the tables."""
        found: dict[str, tuple[float, ...]] = {}
        for row in self._table(VOTE_COUNTS):
            if row[""].startswith("1"):  # 1.....: audio; 2: video; 3: both
                found[row["fileName"]] = _shares({key: float(row[key] or 0) for key in VOTES})
        if not found:
            for row in self._table(MAJORITY_VOTES):
                majority = row["VoiceVote"].split(":")
                found[row["FileName"]] = _shares({key: float(key in majority) for key in VOTES})
        return {name: shares for name, shares in found.items() if sum(shares)}

    def _table(self, name: str) -> list[dict[str, str]]:
        path = self.find(name)
        if path is None:
            return []
        return read_table(path, required=TABLES[name], allow_empty=True).rows


def _shares(votes: Mapping[str, float]) -> tuple[float, ...]:
    total = sum(votes.values())
    by_class = {VOTES[key]: count / total for key, count in votes.items()} if total else {}
    return tuple(by_class.get(name, 0.0) for name in VOTE_CLASSES)

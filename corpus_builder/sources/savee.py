"""SAVEE: four men, seven emotions, 120 sentences each (paper, section III-A)."""

import re
from pathlib import Path
from typing import ClassVar

from corpus_builder.sources.base import NamedSource, Utterance

SPEAKERS = ("DC", "JE", "JK", "KL")
NAME = re.compile(r"(?:(?P<speaker>DC|JE|JK|KL)_)?(?P<emotion>sa|su|[adfhn])(?P<number>\d\d)")


class Savee(NamedSource):
    """Reader of both layouts: ``AudioData/DC/a01.wav`` and ``ALL/DC_a01.wav``.

    The corpus does not include its sentences as text, so there is no transcript. The sentence id
    is that of the n-th sentence of an emotion, which all speakers read.
    """

    name: ClassVar[str] = "savee"
    title: ClassVar[str] = "SAVEE"
    url: ClassVar[str] = "http://kahlan.eps.surrey.ac.uk/savee/"
    licence: ClassVar[str] = "other"
    redistributable: ClassVar[bool] = False
    expected: ClassVar[str] = "files named like AudioData/DC/a01.wav or ALL/DC_a01.wav"

    def match(self, path: Path) -> re.Match[str] | None:
        """See :meth:`NamedSource.match`. A name without a speaker lies in the speaker's folder."""
        match = NAME.fullmatch(path.stem)
        if match and match["speaker"] is None:
            return NAME.fullmatch(f"{path.parent.name}_{path.stem}")
        return match

    def utterance(self, path: Path, match: re.Match[str]) -> Utterance:
        """See :meth:`NamedSource.utterance`. A fold is a speaker: leave one speaker out."""
        return Utterance(
            utterance_id=f"savee-{match[0]}",
            corpus=self.name,
            path=path,
            source_label=match["emotion"],
            speaker_id=f"savee-{match['speaker']}",
            gender="male",
            sentence_id=f"savee-{match['emotion']}{match['number']}",
            fold=SPEAKERS.index(match["speaker"]),
        )

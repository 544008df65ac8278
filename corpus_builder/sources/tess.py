"""TESS: two actresses, 200 words in one carrier phrase, seven emotions (paper, section III-A)."""

import re
from pathlib import Path
from typing import ClassVar

from corpus_builder.sources.base import NamedSource, Utterance

NAME = re.compile(
    r"(?P<speaker>OAF?|YAF)_(?P<word>[a-z]+)_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)",
    re.IGNORECASE,
)
AGES = {"OAF": 64, "YAF": 26}


class Tess(NamedSource):
    """Reader of TESS in any folder layout and spelling: the file name holds all data.

    ``ps`` is pleasant surprise. One released clip, ``OA_bite_neutral``, is OAF's.
    """

    name: ClassVar[str] = "tess"
    title: ClassVar[str] = "TESS"
    url: ClassVar[str] = "https://doi.org/10.5683/SP2/E8H2MF"
    licence: ClassVar[str] = "cc-by-nc-nd-4.0"
    # No derivatives: the audio may be shared as it was released, but not cleaned and cut.
    redistributable: ClassVar[bool] = False
    expected: ClassVar[str] = "files named like OAF_back_angry.wav"

    def match(self, path: Path) -> re.Match[str] | None:
        """See :meth:`NamedSource.match`."""
        return NAME.fullmatch(path.stem)

    def utterance(self, path: Path, match: re.Match[str]) -> Utterance:
        """See :meth:`NamedSource.utterance`. A fold is a speaker: leave one speaker out."""
        speaker = "YAF" if match["speaker"].upper() == "YAF" else "OAF"
        word, emotion = match["word"].lower(), match["emotion"].lower()
        return Utterance(
            utterance_id=f"tess-{speaker}_{word}_{emotion}",
            corpus=self.name,
            path=path,
            source_label=emotion,
            speaker_id=f"tess-{speaker}",
            gender="female",
            sentence_id=f"tess-{word}",
            transcript=f"Say the word {word}",
            age=AGES[speaker],
            fold=list(AGES).index(speaker),
        )

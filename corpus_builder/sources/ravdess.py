"""RAVDESS: 24 actors, two statements, eight emotions, two intensities (paper, section III-A)."""

import re
from pathlib import Path
from typing import ClassVar

from corpus_builder import CorpusError
from corpus_builder.sources.base import NamedSource, Rejected, Utterance

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {
    "01": "Kids are talking by the door",
    "02": "Dogs are sitting by the door",
}
INTENSITIES = {"01": "normal", "02": "strong"}
FOLDS = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)
"""The five subject-wise folds of Luna-Jimenez et al. (2021), by actor."""
FOLD_OF = {actor: fold for fold, actors in enumerate(FOLDS) for actor in actors}
AUDIO_ONLY, SONG = "03", "02"

NAME = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1\d|2[0-4])"
)
SEVEN_NUMBERS = re.compile(r"\d+(-\d+){6}")


class Ravdess(NamedSource):
    """Reader of RAVDESS audio in any folder layout: the file name holds all data.

    The official archives (``Actor_NN/``), their parents
    (``Audio_Speech_Actors_01-24/Actor_NN/``) and archives that hold the set twice are read, with
    any audio file ending. A second file of the same name is rejected as ``repeated``.

    Args:
        root: a folder that holds the clips at any depth.
        song: read the sung clips as well. The paper counts speech only (Table 4: 192 calm).
    """

    name: ClassVar[str] = "ravdess"
    title: ClassVar[str] = "RAVDESS"
    url: ClassVar[str] = "https://doi.org/10.5281/zenodo.1188976"
    licence: ClassVar[str] = "cc-by-nc-sa-4.0"
    redistributable: ClassVar[bool] = True
    expected: ClassVar[str] = (
        "files named like 03-01-05-01-02-01-12.wav, usually in Actor_NN folders"
    )

    def __init__(self, root: Path, *, song: bool = False) -> None:
        super().__init__(root)
        self.song = song

    def options(self) -> dict[str, object]:
        """Return whether the sung clips are read."""
        return {"song": self.song}

    def match(self, path: Path) -> re.Match[str] | None:
        """See :meth:`NamedSource.match`."""
        return NAME.fullmatch(path.stem)

    def check(self, files: list[Path], matches: list[re.Match[str]]) -> None:
        """See :meth:`NamedSource.check`; sung clips alone are an error without ``song``."""
        super().check(files, matches)
        if not self.song and all(match["channel"] == SONG for match in matches):
            raise CorpusError(
                f"ravdess: found {len(matches)} sung clips and no speech below {self.root}; "
                f"add --ravdess-song to read them"
            )

    def reject_name(self, path: Path) -> Rejected:
        """See :meth:`NamedSource.reject_name`; a name with a wrong code is told apart."""
        if SEVEN_NUMBERS.fullmatch(path.stem):
            return self.reject(path, "name", f"{path.stem} holds a code that RAVDESS does not use")
        detail = "not a RAVDESS name, which is seven numbers joined by hyphens"
        return self.reject(path, "name", detail)

    def utterance(self, path: Path, match: re.Match[str]) -> Utterance | Rejected | None:
        """See :meth:`NamedSource.utterance`."""
        if match["modality"] != AUDIO_ONLY:
            return self.reject(path, "name", "not an audio-only clip (03-...)")
        if match["channel"] == SONG and not self.song:
            return None
        return Utterance(
            utterance_id=f"ravdess-{path.stem}",
            corpus=self.name,
            path=path,
            source_label=EMOTIONS[match["emotion"]],
            speaker_id=f"ravdess-{match['actor']}",
            gender="male" if int(match["actor"]) % 2 else "female",
            intensity=INTENSITIES[match["intensity"]],
            sentence_id=f"ravdess-statement-{match['statement']}",
            transcript=STATEMENTS[match["statement"]],
            fold=FOLD_OF[int(match["actor"])],
        )

"""RAVDESS: 24 actors, two statements, eight emotions, two intensities (paper, section III-A)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from corpus_builder.sources.base import CorpusError, Rejected, Source, Utterance

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
AUDIO_ONLY, SPEECH, SONG = "03", "01", "02"

NAME = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])"
    r"-(?P<statement>0[12])-(?P<repetition>0[12])-(?P<actor>0[1-9]|1\d|2[0-4])"
)
SEVEN_NUMBERS = re.compile(r"\d+(-\d+){6}")


class Ravdess(Source):
    """Reader of RAVDESS audio in any folder layout: the file name alone says everything.

    The official archives (``Actor_NN/``), their parents
    (``Audio_Speech_Actors_01-24/Actor_NN/``) and packs that store the set twice are all read;
    any audio extension will do. A second file of the same name is rejected as ``repeated``.

    Args:
        root: a folder that holds the clips at any depth.
        song: read the sung clips as well. The paper's counts (Table 4: 192 calm) are speech alone.
    """

    name: ClassVar[str] = "ravdess"
    title: ClassVar[str] = "RAVDESS"
    url: ClassVar[str] = "https://doi.org/10.5281/zenodo.1188976"
    licence: ClassVar[str] = "cc-by-nc-sa-4.0"
    redistributable: ClassVar[bool] = True

    def __init__(self, root: Path, *, song: bool = False) -> None:
        super().__init__(root)
        self.song = song

    def options(self) -> dict[str, object]:
        """Return whether the sung clips are read."""
        return {"song": self.song}

    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield the recordings in path order; see :meth:`Source.read`."""
        files = self.audio_files()
        channels = {SPEECH, SONG} if self.song else {SPEECH}
        named = [match for path in files if (match := NAME.fullmatch(path.stem))]
        if not any(match["channel"] in channels for match in named):
            if named:
                raise CorpusError(
                    f"ravdess: found {len(named)} sung clips and no speech below {self.root}; "
                    f"add --ravdess-song to read them"
                )
            raise self.wrong_folder(
                "files named like 03-01-05-01-02-01-12.wav, usually in Actor_NN folders", files
            )
        seen: dict[str, Path] = {}
        for path in files:
            match = NAME.fullmatch(path.stem)
            if not match:
                yield self.reject(path, "name", _explain(path.stem))
            elif match["modality"] != AUDIO_ONLY:
                yield self.reject(path, "name", "not an audio-only clip (03-...)")
            elif match["channel"] not in channels:
                continue
            elif path.stem in seen:
                first = seen[path.stem].relative_to(self.root).as_posix()
                yield self.reject(path, "repeated", f"same clip as {first}")
            else:
                seen[path.stem] = path
                yield self._utterance(path, match)

    def _utterance(self, path: Path, match: re.Match[str]) -> Utterance:
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


def _explain(stem: str) -> str:
    """Say what is wrong with a name; a well-formed one with a bad code is a mislabelled clip."""
    if SEVEN_NUMBERS.fullmatch(stem):
        return f"{stem} holds a code that RAVDESS does not use"
    return "not a RAVDESS name, which is seven numbers joined by hyphens"

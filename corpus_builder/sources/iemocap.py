"""IEMOCAP: ten actors in five two-person sessions, scripted and improvised (section III-A)."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from corpus_builder import CorpusError
from corpus_builder.folders import files_below
from corpus_builder.sources.base import Rejected, Source, Utterance
from hub_model.labels import EMOTIONS

TURN = re.compile(
    r"Ses0(?P<session>[1-5])(?P<side>[FM])_(?P<part>(?P<script>script\d\d_\d)\w*|impro\w+)"
    r"_(?P<gender>[FM])\w{3,4}"
)
DIALOG = re.compile(r"Ses0[1-5][FM]_(script|impro)\w+")
NUMBER = r"(-?\d+(?:\.\d+)?)"
EVALUATION = re.compile(
    rf"\[{NUMBER}\s*-\s*{NUMBER}\]\s+(?P<turn>\S+)\s+(?P<label>[a-z]+)"
    rf"\s+\[(?P<v>{NUMBER}),\s*(?P<a>{NUMBER}),\s*(?P<d>{NUMBER})\]"
)
TRANSCRIPT = re.compile(r"(?P<turn>Ses\S+)\s+\[[^\]]*\]:?\s*(?P<text>.*)")


@dataclass(frozen=True)
class _Evaluation:
    label: str
    valence: float
    activation: float
    dominance: float


class Iemocap(Source):
    """Reader of the released folder, a folder above it, or one ``Session``.

    Clips come from ``Session*/sentences/wav``, labels with valence, activation and dominance from
    ``dialog/EmoEvaluation``, text from ``dialog/transcriptions``. The speaker of a turn is given by
    the session and the letter in the turn's name. The sentence id of a scripted turn is its script,
    as sessions repeat the scripts.

    Args:
        root: a folder that holds the sessions.
        excited: read ``exc`` as happy. The paper drops it, as the count of happy in Table 4 shows.
    """

    name: ClassVar[str] = "iemocap"
    title: ClassVar[str] = "IEMOCAP"
    url: ClassVar[str] = "https://sail.usc.edu/iemocap/"
    licence: ClassVar[str] = "other"
    redistributable: ClassVar[bool] = False

    def __init__(self, root: Path, *, excited: bool = False) -> None:
        super().__init__(root)
        self.excited = excited

    def options(self) -> dict[str, object]:
        """Return whether excited is read as happy."""
        return {"excited": self.excited}

    def harmonise(self, source_label: str, *, labels: Collection[str] = EMOTIONS) -> str | None:
        """See :meth:`Source.harmonise`."""
        source_label = "hap" if self.excited and source_label == "exc" else source_label
        return super().harmonise(source_label, labels=labels)

    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield the turns in path order, then labelled turns without audio."""
        files = self.audio_files()
        evaluations = self._evaluations()
        if not evaluations:
            raise CorpusError(
                f"iemocap: expected Session*/dialog/EmoEvaluation/*.txt with labels below "
                f"{self.root}; found {len(files)} audio files and no labels"
            )
        transcripts = self._transcripts()
        seen: dict[str, Path] = {}
        for path in files:
            turn = path.stem
            match = TURN.fullmatch(turn)
            if not match:
                # The recordings of whole dialogues lie in the same tree.
                if not DIALOG.fullmatch(turn):
                    yield self.reject(path, "name", "expected names like Ses01F_impro01_F000.wav")
            elif turn in seen:
                yield self.reject_repeated(path, seen[turn])
            else:
                seen[turn] = path
                if turn in evaluations:
                    yield self._utterance(path, match, evaluations[turn], transcripts.get(turn))
                else:
                    yield self.reject(path, "label", "no label in dialog/EmoEvaluation")
        for turn in sorted(set(evaluations) - set(seen)):
            yield self.reject(self.root / f"{turn}.wav", "missing", "labelled, but no audio")

    def _utterance(
        self, path: Path, match: re.Match[str], evaluation: _Evaluation, transcript: str | None
    ) -> Utterance:
        session = int(match["session"])
        return Utterance(
            utterance_id=f"iemocap-{path.stem}",
            corpus=self.name,
            path=path,
            source_label=evaluation.label,
            speaker_id=f"iemocap-Ses0{session}{match['gender']}",
            gender="female" if match["gender"] == "F" else "male",
            sentence_id=f"iemocap-{match['script']}" if match["script"] else None,
            transcript=transcript,
            session=f"Session{session}",
            fold=session - 1,
            valence=evaluation.valence,
            activation=evaluation.activation,
            dominance=evaluation.dominance,
        )

    def _evaluations(self) -> dict[str, _Evaluation]:
        return {
            match["turn"]: _Evaluation(
                match["label"], float(match["v"]), float(match["a"]), float(match["d"])
            )
            for line in self._lines("EmoEvaluation")
            if (match := EVALUATION.match(line))
        }

    def _transcripts(self) -> dict[str, str]:
        return {
            match["turn"]: match["text"].strip()
            for line in self._lines("transcriptions")
            if (match := TRANSCRIPT.match(line)) and match["text"].strip()
        }

    def _lines(self, folder: str) -> Iterator[str]:
        """Yield the lines of the texts that lie directly in folders of this name."""
        for path in files_below(self.root):
            if path.parent.name == folder and path.suffix == ".txt":
                # Some releases hold stray bytes of another encoding.
                yield from path.read_text(encoding="utf-8", errors="replace").splitlines()

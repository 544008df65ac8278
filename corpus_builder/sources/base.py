"""The base classes of corpus readers, and the recordings that they yield."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from corpus_builder import CorpusError
from corpus_builder.folders import files_below
from corpus_builder.labels import harmonise
from hub_model.audio import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from hub_model.labels import EMOTIONS

SUFFIXES = AUDIO_SUFFIXES - VIDEO_SUFFIXES
"""File name endings taken for audio. Some corpora come with videos of the same recordings, which
are not read. A file that cannot be decoded is listed as rejected."""


RATINGS = (
    *("valence", "activation", "dominance"),
    *("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism"),
)
"""Fields of a recording that are numbers of raters."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One recording as its corpus describes it; its audio is not decoded yet.

    Args:
        utterance_id: unique over all corpora, for example ``ravdess-03-01-05-01-02-01-12``.
        corpus: name of the source.
        path: the audio file.
        source_label: the label of the corpus, unchanged.
        speaker_id: unique over all corpora, for example ``ravdess-12``.
        gender: ``female`` or ``male``; None when it is not known.
        intensity: as the corpus names it; None when it has none.
        sentence_id: unique over all corpora; None when the speech is free.
        transcript: the sentence; None when the corpus has none.
        age: years; None when it is not known.
        session: the recording session; None when the corpus has none.
        fold: number of the corpus's cross-validation fold; None when it has none.
        votes: share of listeners per class, in the order of ``labels.VOTE_CLASSES``.
        valence: 1 (negative) to 5 (positive), mean of the raters.
        activation: 1 (calm) to 5 (excited), mean of the raters.
        dominance: 1 (weak) to 5 (strong), mean of the raters.
        openness, conscientiousness, extraversion, agreeableness, neuroticism: the Big Five
            impressions of the speaker, on the scale of the corpus (paper, section VI).
    """

    utterance_id: str
    corpus: str
    path: Path
    source_label: str
    speaker_id: str
    gender: str | None = None
    intensity: str | None = None
    sentence_id: str | None = None
    transcript: str | None = None
    age: int | None = None
    session: str | None = None
    fold: int | None = None
    votes: tuple[float, ...] | None = None
    valence: float | None = None
    activation: float | None = None
    dominance: float | None = None
    openness: float | None = None
    conscientiousness: float | None = None
    extraversion: float | None = None
    agreeableness: float | None = None
    neuroticism: float | None = None


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A file that is not used, and why; one row of ``rejected.csv``.

    Args:
        reason: one word: ``name`` (not a name this corpus uses), ``label`` (no usable
            label), ``missing`` (labelled, but not there), ``repeated`` (the same clip is stored
            twice), ``unusable`` (cannot be decoded, empty, silent), ``short`` or ``duplicate``
            (same samples as another clip).
        detail: what is wrong, one line.
        label: the emotion, when it is known.
    """

    corpus: str
    path: Path
    reason: str
    detail: str
    label: str | None = None


class Source(ABC):
    """A corpus on disk. A subclass reads its layouts and states its licence.

    Args:
        root: the folder of the corpus.

    Raises:
        CorpusError: the folder does not exist.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    url: ClassVar[str]
    licence: ClassVar[str]
    """Licence id as the Hub's cards spell it."""
    redistributable: ClassVar[bool]
    """Whether the audio, cleaned and cut, may be shared with the public."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise CorpusError(f"{self.name}: no such folder: {root}")
        self.root = root

    @abstractmethod
    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield every recording in a fixed order.

        Raises:
            CorpusError: the folder holds something else.
        """

    def harmonise(self, source_label: str, *, labels: Collection[str] = EMOTIONS) -> str | None:
        """Return the emotion of a label of this corpus, or None when it is none of ``labels``."""
        return harmonise(self.name, source_label, labels=labels)

    def options(self) -> dict[str, object]:
        """Return the settings of the reader, which ``build.json`` stores."""
        return {}

    def describe(self) -> dict[str, object]:
        """Return title, licence and options of this corpus as JSON values, for ``build.json``."""
        return {
            "title": self.title,
            "url": self.url,
            "licence": self.licence,
            "redistributable": self.redistributable,
            "options": self.options(),
        }

    def audio_files(self) -> list[Path]:
        """Return all audio files below the root, sorted, without hidden ones."""
        return [path for path in files_below(self.root) if path.suffix.lower() in SUFFIXES]

    def find(self, name: str) -> Path | None:
        """Return the file of this name below the root, or up to two folders above it."""
        below = [path for path in files_below(self.root) if path.match(name)]
        above = [folder / name for folder in (self.root.parent, self.root.parent.parent)]
        return next((path for path in [*below, *above] if path.is_file()), None)

    def wrong_folder(self, expected: str, found: list[Path]) -> CorpusError:
        """Return the error for a folder that does not hold this corpus."""
        if not found:
            return CorpusError(
                f"{self.name}: expected {expected} below {self.root}; found no audio"
            )
        example = found[0].relative_to(self.root)
        return CorpusError(
            f"{self.name}: expected {expected} below {self.root}; "
            f"found {len(found)} audio files of other names, such as {example}"
        )

    def reject(self, path: Path, reason: str, detail: str) -> Rejected:
        """Return a file of this corpus as rejected."""
        return Rejected(corpus=self.name, path=path, reason=reason, detail=detail)

    def reject_repeated(self, path: Path, first: Path) -> Rejected:
        """Return a second file of the same clip as rejected."""
        where = first.relative_to(self.root).as_posix()
        return self.reject(path, "repeated", f"same clip as {where}")


class NamedSource(Source):
    """A corpus whose file names hold all data, so that any folder layout can be read.

    A second file of the same clip is rejected as ``repeated``: archives that
    hold a set twice are read once.
    """

    expected: ClassVar[str]
    """Description of the names, for messages."""

    @abstractmethod
    def match(self, path: Path) -> re.Match[str] | None:
        """Match the name of a file; None when it is not a name of this corpus."""

    @abstractmethod
    def utterance(self, path: Path, match: re.Match[str]) -> Utterance | Rejected | None:
        """Return the recording of a matched name; None when it is left out."""

    def reject_name(self, path: Path) -> Rejected:
        """Return a file whose name does not match as rejected."""
        return self.reject(path, "name", f"expected {self.expected}")

    def check(self, files: list[Path], matches: list[re.Match[str]]) -> None:
        """Check that the folder holds this corpus.

        Args:
            files: all audio files.
            matches: the matches of their names.

        Raises:
            CorpusError: none of the names is one of this corpus.
        """
        if not matches:
            raise self.wrong_folder(self.expected, files)

    def read(self) -> Iterator[Utterance | Rejected]:
        """Yield the recordings in path order; see :meth:`Source.read`."""
        files = self.audio_files()
        named = [(path, self.match(path)) for path in files]
        self.check(files, [match for _, match in named if match])
        seen: dict[str, Path] = {}
        for path, match in named:
            found = self.utterance(path, match) if match else self.reject_name(path)
            if isinstance(found, Utterance):
                first = seen.setdefault(found.utterance_id, path)
                if first != path:
                    found = self.reject_repeated(path, first)
            if found is not None:
                yield found

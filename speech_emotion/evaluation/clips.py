"""The clips a model is scored on: from a built corpus, from the Hub, or from raw RAVDESS."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import Audio, Dataset
from numpy.typing import ArrayLike

from corpus_builder import CorpusError
from corpus_builder.labels import VOTE_CLASSES, harmonise
from corpus_builder.reading import open_corpus
from corpus_builder.records import SPLITS
from corpus_builder.sources.base import Rejected
from corpus_builder.sources.ravdess import Ravdess
from hub_model.labels import EMOTIONS
from speech_emotion.baselines.clips import audio_bytes
from speech_emotion.evaluation import EvaluationError, one_line

PROTOCOLS = ("speaker_disjoint", "paper")
"""Configurations of a built corpus, the headline first."""

WHOLE = "natural"
"""The configuration with every recording once."""

COLUMNS = ("audio", "label", "speaker_id", "utterance_id", "transcript")
"""Columns of every clip; the fingerprint of a set of clips is over these."""

DETAILS = ("corpus", "gender", "intensity", "age", "audio_hash")
"""Columns of some data: for groups of clips, and for the leak guard."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class EmptyError(EvaluationError):
    """No clip is left."""


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """Labelled clips and how they were selected.

    Attributes:
        clips: rows of audio ({"bytes", "path"}), label (int, id of one of the seven
            emotions), speaker_id, utterance_id and transcript (None when there is none), and
            those of :data:`DETAILS` that the data has.
        cleaned: the audio was cleaned by `hub_model.audio.clean_audio` when it was built.
        removed: number of clips outside the benchmark, by reason.
        left_out_speakers: speakers left out because they are in the training data.
        left_out_clips: their number of clips.
        rejected: unusable files of a raw folder, one line each.
    """

    clips: Dataset
    cleaned: bool
    removed: dict[str, int] = field(default_factory=dict)
    left_out_speakers: tuple[str, ...] = ()
    left_out_clips: int = 0
    rejected: tuple[str, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """int (num_clips,), the true emotion ids."""
        return np.asarray(self.clips["label"][:], dtype=np.int64)

    @property
    def speakers(self) -> np.ndarray:
        """str (num_clips,), the speaker of each clip."""
        return np.asarray(self.clips["speaker_id"][:])

    @property
    def corpora(self) -> list[str]:
        """str (num_clips,), the corpus of each clip; "unknown" when the data does not name it."""
        return self.details("corpus", "unknown")

    @property
    def audio_hashes(self) -> list[str]:
        """str (num_clips,), the hash of each clip's samples; empty when the data has none."""
        return self.details("audio_hash", "") if "audio_hash" in self.clips.column_names else []

    def details(self, column: str, missing: Any = None) -> list[Any]:
        """One of :data:`DETAILS` for every clip, ``missing`` where it is not known."""
        if column not in self.clips.column_names:
            return [missing] * len(self.clips)
        return [missing if value is None else value for value in self.clips[column][:]]

    def chosen(self, wanted: ArrayLike) -> "ClipSet":
        """The clips where ``wanted``, bool (num_clips,), is true."""
        return replace(self, clips=self.clips.select(np.flatnonzero(np.asarray(wanted))))

    def of_emotions(self, emotions: Collection[str]) -> "ClipSet":
        """Only the clips of some emotions, where a label is an index into them with neutral last.

        Raises:
            EvaluationError: none is left.
        """
        wanted = np.isin(self.labels, [i for i, n in enumerate(VOTE_CLASSES) if n in emotions])
        if not wanted.any():
            raise EvaluationError(f"empty split: no clip is {' or '.join(emotions)}")
        return self.chosen(wanted)

    def without_speakers(self, speakers: Collection[str]) -> "ClipSet":
        """The set without the clips of some speakers, which are counted as left out."""
        seen = np.isin(self.speakers, sorted(speakers))
        return replace(
            self.chosen(~seen),
            left_out_speakers=tuple(sorted(set(self.speakers[seen]))),
            left_out_clips=int(seen.sum()),
        )

    def only_speakers(self, speakers: Collection[str]) -> "ClipSet":
        """Only the clips of some speakers."""
        return self.chosen(np.isin(self.speakers, sorted(speakers)))

    def limited(self, limit: int | None, *, seed: int) -> "ClipSet":
        """At most ``limit`` clips, drawn at random and kept in their order."""
        if limit is None or limit >= len(self.clips):
            return self
        drawn = np.random.default_rng(seed).permutation(len(self.clips))[:limit]
        return self.chosen(np.isin(np.arange(len(self.clips)), drawn))

    def fingerprint(self) -> str:
        """SHA-256 over ids, speakers, labels, transcripts and audio, in order."""
        digest = hashlib.sha256()
        for row in self.clips.select_columns(list(COLUMNS)):
            facts = [row[name] for name in COLUMNS if name != "audio"]
            digest.update(repr(facts).encode())
            digest.update(hashlib.sha256(audio_bytes(row["audio"])).digest())
        return digest.hexdigest()


def label_names(data: str) -> tuple[str, ...]:
    """The seven emotions, and neutral where a built corpus has kept it.

    Raises:
        EvaluationError: it cannot be opened.
    """
    try:
        label = next(iter(open_corpus(data, WHOLE).values())).features["label"]
    except Exception as error:
        raise EvaluationError(f"--data {data}: cannot be opened: {one_line(error)}") from error
    return VOTE_CLASSES if VOTE_CLASSES[-1] in getattr(label, "names", ()) else EMOTIONS


def is_raw_folder(data: str) -> bool:
    """Whether ``--data`` names a folder of recordings rather than a built corpus or Hub id.

    Raises:
        EvaluationError: it is neither a folder nor a Hub id.
    """
    folder = Path(data)
    if folder.is_dir():
        return not any(any(folder.glob(f"{name}/*.parquet")) for name in PROTOCOLS)
    if folder.exists() or not HUB_ID.fullmatch(data):
        raise EvaluationError(f"--data {data}: no such folder, and not a data set id (user/name)")
    return False


def corpus_configurations(data: str) -> list[str]:
    """Names of a built corpus's configurations.

    Raises:
        EvaluationError: it cannot be opened.
    """
    try:
        return datasets.get_dataset_config_names(data)
    except Exception as error:
        # `datasets` raises many unrelated types here; the first line of each is enough.
        raise EvaluationError(f"--data {data}: cannot be opened: {one_line(error)}") from error


def read_corpus(
    data: str,
    protocol: str,
    split: str,
    *,
    corpus: str | None = None,
    classes: Sequence[str] | None = EMOTIONS,
) -> ClipSet:
    """Read one split of a built corpus, from a folder or from the Hub.

    Args:
        data: folder or Hub data set id.
        protocol: the corpus's configuration, "speaker_disjoint" or "paper".
        split: "train", "validation" or "test".
        corpus: keep only the clips of this corpus, such as "ravdess"; None keeps all.
        classes: keep only the clips of these emotions; a label is an index into them. None keeps
            the labels of the corpus, whatever they are.

    Raises:
        EvaluationError: it cannot be opened, lacks the split or a column, or nothing is left.
    """
    what = f"{data} ({protocol}, {split})"
    try:
        clips = open_corpus(data, protocol, split=split)
    except Exception as error:
        reason = f"cannot be opened: {one_line(error)}"
        if "corresponds to no data" in reason:
            raise EmptyError(f"--data {what}: empty split") from error
        raise EvaluationError(f"--data {what}: {reason}") from error
    needed = [name for name in (*COLUMNS, "corpus") if name != "transcript"]
    missing = [name for name in needed if name not in clips.column_names]
    if missing:
        raise EvaluationError(f"--data {what}: has no column {', '.join(missing)}")
    if "transcript" not in clips.column_names:
        clips = clips.add_column("transcript", [None] * len(clips))
    names = getattr(clips.features["label"], "names", None)
    if names is None or (classes is not None and not set(EMOTIONS) <= set(names)):
        raise EvaluationError(f"--data {what}: its label column must name {', '.join(EMOTIONS)}")
    classes = names if classes is None else classes

    removed: Counter[str] = Counter()
    kept: list[int] = []
    for index, (label, source) in enumerate(
        zip(clips["label"][:], clips["corpus"][:], strict=True)
    ):
        if corpus is not None and source != corpus:
            removed[f"corpus {source}"] += 1
        elif names[label] not in classes:
            removed[names[label]] += 1
        else:
            kept.append(index)
    labels = [classes.index(names[label]) for label in clips.select(kept)["label"][:]]
    clips = clips.select(kept).cast_column("audio", Audio(decode=False)).remove_columns("label")
    clips = clips.add_column("label", labels).select_columns(
        [*COLUMNS, *(name for name in DETAILS if name in clips.column_names)]
    )
    if not len(clips):
        raise EmptyError(f"--data {what}: no {corpus or ''} clips to score".replace("  ", " "))
    if None in clips["speaker_id"][:]:
        raise EvaluationError(f"--data {what}: some clips have no speaker_id")
    return ClipSet(clips=clips, cleaned=True, removed=dict(sorted(removed.items())))


def read_whole(
    data: str, *, corpus: str | None = None, classes: Sequence[str] = EMOTIONS
) -> ClipSet:
    """Read every recording of a built corpus, whatever its split.

    Args:
        data: folder or Hub data set id.
        corpus: see :func:`read_corpus`.
        classes: see :func:`read_corpus`.

    Raises:
        EvaluationError: as of :func:`read_corpus`, or it has no configuration ``natural``.
    """
    if WHOLE not in corpus_configurations(data):
        raise EvaluationError(f"--data {data}: has no configuration {WHOLE}")
    parts = []
    for split in SPLITS:
        try:
            parts.append(read_corpus(data, WHOLE, split, corpus=corpus, classes=classes))
        except EmptyError:
            continue
    if not parts:
        raise EmptyError(f"--data {data}: no {corpus or ''} clips to score".replace("  ", " "))
    removed = sum((Counter(part.removed) for part in parts), Counter())
    clips = datasets.concatenate_datasets([part.clips for part in parts])
    return ClipSet(clips=clips, cleaned=True, removed=dict(sorted(removed.items())))


def read_raw_ravdess(data: str, *, classes: Sequence[str] = EMOTIONS) -> ClipSet:
    """Read a RAVDESS folder as released, by default with neutral removed (paper, section III-A).

    Raises:
        EvaluationError: the folder holds no RAVDESS speech.
    """
    root = Path(data)
    removed: Counter[str] = Counter()
    rejected, rows = [], []
    try:
        for item in Ravdess(root).read():
            if isinstance(item, Rejected):
                rejected.append(f"{item.path.relative_to(root).as_posix()}: {item.detail}")
            elif (emotion := harmonise("ravdess", item.source_label, labels=VOTE_CLASSES)) not in (
                classes
            ):
                removed[item.source_label] += 1
            else:
                rows.append(
                    {
                        "audio": str(item.path),
                        "label": classes.index(emotion),
                        "speaker_id": item.speaker_id,
                        "utterance_id": item.utterance_id,
                        "transcript": item.transcript,
                        "corpus": item.corpus,
                        "gender": item.gender,
                        "intensity": item.intensity,
                    }
                )
    except CorpusError as error:
        raise EvaluationError(
            f"--data {data}: neither a built corpus nor a RAVDESS folder: {error}"
        ) from error
    if not rows:
        raise EvaluationError(f"--data {data}: no ravdess clips to score")
    clips = Dataset.from_list(rows).cast_column("audio", Audio(decode=False))
    return ClipSet(
        clips=clips,
        cleaned=False,
        removed=dict(sorted(removed.items())),
        rejected=tuple(rejected),
    )

"""A user's labelled recordings: a table, any data set, or a corpus of ``corpus_builder``."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
from datasets import Audio, Dataset

from corpus_builder import CorpusError
from corpus_builder.labels import VOTE_CLASSES
from corpus_builder.reading import open_corpus
from corpus_builder.tables import read_table
from hub_model.audio import audio_hash
from speech_emotion.evaluation import EvaluationError, one_line
from speech_emotion.evaluation.classifiers import decoded
from speech_emotion.evaluation.clips import (
    COLUMNS,
    HUB_ID,
    PROTOCOLS,
    WHOLE,
    ClipSet,
    corpus_configurations,
    read_corpus,
)
from speech_emotion.evaluation.labels import meaning_of
from speech_emotion.evaluation.provenance import portable

LABEL_COLUMNS = ("emotion", "label", "labels")
SPEAKER_COLUMNS = ("speaker_id", "speaker")
TRANSCRIPT_COLUMNS = ("transcript", "transcription", "text")
"""Names of the columns of a data set, in any case; the first that it has."""

NO_SPEAKER = ""
"""Speaker of a clip whose speaker is not known."""


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """Clips with labels of the user's own.

    Attributes:
        clips: the clips; their labels are indices into ``labels``.
        labels: the labels, emotions in their usual order and then others by name.
        kind: "table", "data set" or "corpus".
        split: the split that was read; None for a table.
    """

    clips: ClipSet
    labels: tuple[str, ...]
    kind: str
    split: str | None

    def of_labels(self, labels: tuple[str, ...]) -> ClipSet:
        """The clips with some of the labels; theirs become indices into these."""
        number = {self.labels.index(name): index for index, name in enumerate(labels)}
        clips = self.clips.chosen([label in number for label in self.clips.labels.tolist()])
        own = [number[label] for label in clips.labels.tolist()]
        return replace(clips, clips=clips.clips.remove_columns("label").add_column("label", own))

    def counts(self) -> dict[str, int]:
        """Number of clips of every label."""
        found = Counter(self.clips.labels.tolist())
        return {name: found[index] for index, name in enumerate(self.labels)}

    def hashed(self) -> "LabelledData":
        """The same with the hash of each clip's samples, as training records have it."""
        if self.clips.audio_hashes:
            return self
        waveforms = (decoded(audio, clean=False) for audio in self.clips.clips["audio"])
        hashes = ["" if isinstance(one, str) else audio_hash(one) for one in waveforms]
        clips = replace(self.clips, clips=self.clips.clips.add_column("audio_hash", hashes))
        return replace(self, clips=clips)


def read_labelled(
    data: str,
    *,
    words: Mapping[str, str | None],
    protocol: str = PROTOCOLS[0],
    split: str = "test",
    corpus: str | None = None,
) -> LabelledData:
    """Read labelled recordings.

    Args:
        data: a table with the columns path, emotion and, if it has them, speaker and transcript;
            a corpus that ``corpus_builder`` built; or a folder or Hub id that ``load_dataset``
            opens, with a column of audio and one of :data:`LABEL_COLUMNS`.
        words: what words mean; see :func:`~corpus_builder.labels.read_label_map`.
        protocol: configuration of a built corpus.
        split: split of a built corpus or data set. The only split of a data set is always read.
        corpus: only the clips of this source of a built corpus.

    Raises:
        EvaluationError: it cannot be read, or no clip is left.
    """
    if Path(data).is_file():
        clips, own = _read_table(Path(data))
        return _labelled(clips, own, words, data, kind="table", split=None)
    if not Path(data).is_dir() and (Path(data).exists() or not HUB_ID.fullmatch(data)):
        raise EvaluationError(
            f"--data {data}: no such table or folder, and not a data set id (user/name)"
        )
    configurations = corpus_configurations(data)
    if set(configurations) & {*PROTOCOLS, WHOLE}:
        clips = read_corpus(data, protocol, split, corpus=corpus, classes=None)
        names = open_corpus(data, protocol, split=split).features["label"].names
        own = [names[label] for label in clips.labels.tolist()]
        return _labelled(clips, own, words, data, kind="corpus", split=split)
    config = protocol if protocol in configurations else None
    clips, own, split = _read_data_set(data, config, split)
    return _labelled(clips, own, words, data, kind="data set", split=split)


def _read_table(path: Path) -> tuple[ClipSet, list[str]]:
    """The clips of a table, and their words."""
    rejected: list[str] = []
    try:
        table = read_table(
            path,
            required=("path", "emotion"),
            optional=("speaker", "transcript"),
            on_bad=rejected.append,
        )
    except CorpusError as error:
        raise EvaluationError(f"--data {error}") from error
    rejected = [line.removeprefix(f"{path}: ").removesuffix("; left out") for line in rejected]
    rows: dict[str, dict[str, Any]] = {}
    for number, row in zip(table.lines, table.rows, strict=True):
        file, name = table.file(row["path"]), portable(row["path"])
        if str(file) in rows:
            rejected.append(f"line {number}: {name} is listed before")
        elif not file.is_file() or not os.access(file, os.R_OK):
            rejected.append(f"line {number}: {name}: no such file, or it cannot be read")
        else:
            rows[str(file)] = {
                "audio": str(file),
                "word": row["emotion"],
                "speaker_id": row["speaker"],
                "transcript": row["transcript"] or None,
            }
    if not rows:
        raise EvaluationError(f"--data {path}: none of its recordings can be read: {rejected[0]}")
    own = [row.pop("word") for row in rows.values()]
    kinds = datasets.Features(
        {name: datasets.Value("string") for name in COLUMNS if name != "label"}
        | {"audio": Audio(decode=False)}
    )
    names = _ids(str(path.parent), list(rows))
    clips = Dataset.from_list(
        [{**row, "utterance_id": name} for row, name in zip(rows.values(), names, strict=True)],
        features=kinds,
    )
    return ClipSet(clips=clips, cleaned=False, rejected=tuple(rejected)), own


def _read_data_set(data: str, config: str | None, split: str) -> tuple[ClipSet, list[str], str]:
    """The clips of a data set, their words, and the split that was read."""
    try:
        splits = open_corpus(data, config)
    except Exception as error:
        # `datasets` raises many unrelated types here; the first line of each is enough.
        raise EvaluationError(f"--data {data}: cannot be opened: {one_line(error)}") from error
    if len(splits) == 1:
        (split,) = splits
    if split not in splits:
        raise EvaluationError(f"--data {data}: has no split {split}, but {', '.join(splits)}")
    rows = splits[split]
    spelling = {name.lower(): name for name in reversed(rows.column_names)}

    def column(names: tuple[str, ...]) -> str | None:
        return next((spelling[name] for name in names if name in spelling), None)

    sounds = [name for name, kind in rows.features.items() if isinstance(kind, Audio)]
    audio, label = next(iter(sounds), None) or column(("audio",)), column(LABEL_COLUMNS)
    if audio is None or label is None:
        missing = "audio" if audio is None else " or ".join(LABEL_COLUMNS)
        raise EvaluationError(
            f"--data {data}: has no column {missing}; it has {', '.join(rows.column_names)}"
        )
    rows = rows.cast_column(audio, Audio(decode=False))
    names = getattr(rows.features[label], "names", None)
    words = rows[label][:]
    if names is not None:  # -1 stands for no label
        words = [names[value] if value is not None and value >= 0 else None for value in words]
    speaker, transcript = column(SPEAKER_COLUMNS), column(TRANSCRIPT_COLUMNS)
    empty = [None] * len(rows)
    facts: dict[str, list[Any]] = {
        "speaker_id": [
            NO_SPEAKER if name is None else str(name)
            for name in (rows[speaker][:] if speaker else empty)
        ],
        "transcript": [
            str(text) if text else None for text in (rows[transcript][:] if transcript else empty)
        ],
    }
    rows = rows.select_columns([audio])
    facts["utterance_id"] = _ids(data, [row[audio]["path"] for row in rows])
    if audio != "audio":
        rows = rows.rename_column(audio, "audio")
    for name, values in facts.items():
        rows = rows.add_column(name, values)
    own = ["" if word is None else str(word) for word in words]
    return ClipSet(clips=rows, cleaned=False), own, split


def _ids(data: str, paths: list[str | None]) -> list[str]:
    """A name for every clip: its file where all have different ones, or its number."""
    names = [os.path.relpath(path, data) if path else "" for path in paths]
    names = [os.path.basename(name) if name.startswith("..") else name for name in names]
    if len(set(names)) < len(names) or "" in names:
        return [f"{number} {name}".strip() for number, name in enumerate(names)]
    return names


def _labelled(
    clips: ClipSet, own: list[str], words: Mapping[str, str | None], data: str, **facts: Any
) -> LabelledData:
    """The clips with the labels that their words mean; those without one are counted."""
    meant = [meaning_of(word, words) for word in own]
    removed = Counter(
        word or "no label" for word, label in zip(own, meant, strict=True) if label is None
    )
    found = set(meant) - {None}
    if not found:
        raise EvaluationError(f"--data {data}: no clip has a label")
    labels = tuple(name for name in VOTE_CLASSES if name in found)
    labels += tuple(sorted(name for name in found if name is not None and name not in labels))
    chosen = clips.chosen([label is not None for label in meant])
    columns = [name for name in chosen.clips.column_names if name != "label"]
    numbers = [labels.index(label) for label in meant if label is not None]
    chosen = replace(
        chosen,
        clips=chosen.clips.select_columns(columns).add_column("label", numbers),
        removed={**clips.removed, **dict(sorted(removed.items()))},
    )
    return LabelledData(clips=chosen, labels=labels, **facts)

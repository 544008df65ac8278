"""Cleaned clips before they are written to shards: small Arrow files, one per part.

A part holds up to :data:`PART_SIZE` clips. Its name is a hash of everything that decides its
content, and it appears under that name only when it is whole. So an interrupted build finds the
parts that it has finished, parts of two settings never mix, and no audio passes through the parent
process.
"""

import hashlib
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from corpus_builder import cleaning as cleaning_module
from corpus_builder import provenance
from corpus_builder.cleaning import CleanedClip, clean_utterance
from corpus_builder.sources import Utterance
from hub_model import audio, containers, decoding, ffmpeg, levels, speech_activity
from hub_model.audio import Cleaning

PART_SIZE = 32

SCHEMA = pa.schema(
    {
        "utterance_id": pa.string(),
        "duration": pa.float64(),
        "audio_hash": pa.string(),
        "flac": pa.binary(),
        "reason": pa.string(),
        "detail": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class PartTask(ABC):
    """A task that makes one part; picklable and independent of all others.

    Args:
        folder: where parts are kept.
    """

    folder: Path

    @property
    @abstractmethod
    def size(self) -> int:
        """Return the number of clips."""

    @abstractmethod
    def recipe(self) -> list[Any]:
        """Return everything that decides the part's content, as JSON values."""

    @abstractmethod
    def make(self) -> Iterable[CleanedClip]:
        """Yield the clips."""

    @property
    def path(self) -> Path:
        """Return the part's file, which is named by the hash of the recipe."""
        recipe = json.dumps(self.recipe(), sort_keys=True)
        return self.folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.arrow"

    def run(self) -> Path:
        """Make the part unless its file exists; return the file."""
        path = self.path
        if not path.exists():
            write_part(path, self.make())
        return path


@dataclass(frozen=True, kw_only=True)
class CleaningTask(PartTask):
    """A task that cleans source files.

    Args:
        utterances: what the part holds, in order.
        cleaning: audio settings.
        min_duration: seconds.
    """

    utterances: tuple[Utterance, ...]
    cleaning: Cleaning
    min_duration: float

    @property
    def size(self) -> int:
        """Return the number of clips."""
        return len(self.utterances)

    def recipe(self) -> list[Any]:
        """See :meth:`PartTask.recipe`."""
        files = [
            (utterance.utterance_id, str(utterance.path), status.st_size, status.st_mtime_ns)
            for utterance in self.utterances
            for status in (utterance.path.stat(),)
        ]
        code = code_hash(cleaning_module, *OF_A_CLIP)
        return [code, self.cleaning.to_dict(), self.min_duration, files]

    def make(self) -> Iterable[CleanedClip]:
        """See :meth:`PartTask.make`."""
        for utterance in self.utterances:
            yield clean_utterance(utterance, cleaning=self.cleaning, min_duration=self.min_duration)


def split_into_tasks(
    utterances: Sequence[Utterance], *, folder: Path, cleaning: Cleaning, min_duration: float
) -> list[CleaningTask]:
    """Cut the utterances into parts of :data:`PART_SIZE`, in order."""
    return [
        CleaningTask(
            folder=folder,
            utterances=tuple(utterances[start : start + PART_SIZE]),
            cleaning=cleaning,
            min_duration=min_duration,
        )
        for start in range(0, len(utterances), PART_SIZE)
    ]


def write_part(path: Path, clips: Iterable[CleanedClip]) -> None:
    """Write clips to ``path``, which appears only when whole."""
    table = pa.Table.from_pylist([asdict(clip) for clip in clips], schema=SCHEMA)
    with replacing(path) as temporary, pa.ipc.new_file(str(temporary), SCHEMA) as writer:
        writer.write_table(table)


def read_part(path: Path) -> list[tuple[CleanedClip, int]]:
    """Return every clip of a part without its audio, and the size of the audio in bytes."""
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
        sizes = pc.binary_length(table["flac"]).to_pylist()
        rows = table.drop_columns("flac").to_pylist()
    return [(CleanedClip(**row), size or 0) for row, size in zip(rows, sizes, strict=True)]


def read_flac(path: Path, row: int) -> bytes:
    """Return the audio of one clip of a part; only its own pages are read from disk."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()["flac"][row].as_py()


def read_waveform(path: Path, row: int) -> np.ndarray:
    """Return the samples of one clip of a part: float32 ``(num_samples,)``, 16 kHz."""
    samples, _ = soundfile.read(io.BytesIO(read_flac(path, row)), dtype="float32")
    return samples


OF_A_CLIP = (audio, containers, decoding, ffmpeg, levels, speech_activity)
"""The modules of hub_model that decide the samples of a cleaned clip."""


@cache
def code_hash(*modules: ModuleType) -> str:
    """Hash the code and the library versions that make a clip, so that old parts are not used."""
    digest = hashlib.sha256(json.dumps(provenance.versions()).encode())
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

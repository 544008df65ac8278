"""The interface of transcribers, and a cache of transcripts on disk.

A transcriber has two methods: ``load`` loads its weights or raises
:class:`TranscriberUnavailable`, ``transcribe`` turns waveforms into transcripts.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .audio import audio_hash

FORMAT = 1
"""Part of every key: goes up when what a file holds changes."""


@dataclass(frozen=True)
class Transcript:
    """The transcript of one clip.

    Args:
        text: perhaps empty.
        confidence: geometric mean of the probabilities of its tokens, 0 to 1; ``None`` where the
            transcriber gives none.
        no_speech: Whisper's probability of no speech; ``None`` where it gives none.
        error: why there is no transcript, if the transcriber failed.
    """

    text: str
    confidence: float | None = None
    no_speech: float | None = None
    error: str | None = None


class TranscriberUnavailable(RuntimeError):
    """The weights of a transcriber are not found. The message is one line."""


class Transcriber(Protocol):
    """What the pipeline and the corpus builder need of a speech transcriber."""

    name: str

    def load(self) -> None:
        """Load the weights once; raise :class:`TranscriberUnavailable` when there are none."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return one transcript per waveform (float32 ``(num_samples,)``, 16 kHz)."""


class CachedTranscriber:
    """A transcriber whose results are kept on disk.

    A file is written whole under another name and then renamed, so that two processes may share a
    folder, and a file that is there is complete. One that cannot be read counts as missing.

    Args:
        transcriber: called for the clips that are not in the cache, and loaded only then.
        folder: made when the first transcript is written.
        settings: what the text depends on besides the transcriber's name and its files.
    """

    def __init__(
        self, transcriber: Transcriber, folder: str | os.PathLike, settings: dict[str, Any]
    ) -> None:
        self.name = transcriber.name
        self._transcriber = transcriber
        key = json.dumps([FORMAT, self.name, _files(self.name), settings], sort_keys=True)
        self._folder = Path(folder) / sha256(key.encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load nothing; the transcriber is loaded by the first clip that is not in the cache."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return cached transcripts, and transcribe the rest in one batch.

        When the transcriber is unavailable, the clips that are not cached carry the error.

        Raises:
            TranscriberUnavailable: it is, and no clip is cached.
        """
        paths = [self._path(waveform) for waveform in waveforms]
        found = {path: _read(path) for path in paths}
        unknown = {
            path: waveform
            for path, waveform in zip(paths, waveforms, strict=True)
            if found[path] is None
        }
        if unknown:
            try:
                new = self._transcriber.transcribe(list(unknown.values()))
            except TranscriberUnavailable as error:
                if len(unknown) == len(found):
                    raise
                new = [Transcript("", error=str(error)) for _ in unknown]
            for path, transcript in zip(unknown, new, strict=True):
                found[path] = transcript
                if transcript.error is None:
                    _write(path, transcript)
        return [kept for path in paths if (kept := found[path]) is not None]

    def _path(self, waveform: np.ndarray) -> Path:
        name = audio_hash(waveform)
        return self._folder / name[:2] / f"{name}.json"


def _files(name: str) -> list[Any]:
    """Names, sizes and times of the files of a local transcriber."""
    path = Path(name.rpartition(":")[2])
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return [(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats]


def _read(path: Path) -> Transcript | None:
    try:
        return Transcript(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, transcript: Transcript) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, suffix=".tmp", delete=False, encoding="utf-8"
    ) as file:
        json.dump(asdict(transcript), file)
    os.replace(file.name, path)

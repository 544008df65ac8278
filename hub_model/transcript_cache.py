"""Transcripts kept on disk: one small file for every clip and recogniser."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .audio import audio_hash
from .transcript import Transcriber, TranscriberUnavailable, Transcript

FORMAT = 1
"""Part of every key: goes up when what a file holds changes."""


class CachedTranscriber:
    """A transcriber that is asked for every clip once.

    A file is written whole under another name and then renamed, so that two processes may share a
    folder, and a file that is there is complete. One that cannot be read counts as missing.

    Args:
        transcriber: asked for the clips that are not known yet, and loaded only then.
        folder: made when the first transcript is written.
        settings: what the text depends on beside the transcriber's name and its files.
    """

    def __init__(
        self, transcriber: Transcriber, folder: str | os.PathLike, settings: dict[str, Any]
    ) -> None:
        self.name = transcriber.name
        self._transcriber = transcriber
        key = json.dumps([FORMAT, self.name, _files(self.name), settings], sort_keys=True)
        self._folder = Path(folder) / sha256(key.encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load nothing: perhaps every clip is known."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[Transcript]:
        """Return what is known, and ask for the rest in one batch.

        When the transcriber is unavailable, the clips that are not known carry the error.

        Raises:
            TranscriberUnavailable: it is, and no clip is known.
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
                heard = self._transcriber.transcribe(list(unknown.values()))
            except TranscriberUnavailable as error:
                if len(unknown) == len(found):
                    raise
                heard = [Transcript("", error=str(error)) for _ in unknown]
            for path, transcript in zip(unknown, heard, strict=True):
                found[path] = transcript
                if transcript.error is None:
                    _write(path, transcript)
        return [found[path] for path in paths]

    def _path(self, waveform: np.ndarray) -> Path:
        name = audio_hash(waveform)
        return self._folder / name[:2] / f"{name}.json"


def _files(name: str) -> list[Any]:
    """What tells the files of a local recogniser from those it had before."""
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
        json.dump(dataclasses.asdict(transcript), file)
    os.replace(file.name, path)

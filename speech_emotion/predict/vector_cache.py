"""Vectors on disk, found by the hash of what they were computed from."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn
from tqdm.auto import tqdm

Source = TypeVar("Source")

CHUNK = 256
"""Number of vectors in a file; a run that is stopped loses at most so many."""


class CacheError(RuntimeError):
    """Vectors that cannot be read or written. The message is one line."""


class VectorCache:
    """A folder of safetensors files, each with a matrix of float32 vectors and their keys.

    Several processes and several runs may add to one folder: a file is written beside its place
    and then moved there, under a name that follows from its keys.

    Args:
        folder: made when the first vectors are added.

    Raises:
        CacheError: a file in it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._vectors: dict[str, np.ndarray] = {}
        self._new: dict[str, np.ndarray] = {}
        self._read: set[Path] = set()
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._vectors

    def __getitem__(self, key: str) -> np.ndarray:
        return self._vectors[key]

    def refresh(self) -> None:
        """Read what has been added since, by whichever process."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path not in self._read:
                try:
                    with safe_open(path, framework="numpy") as chunk:
                        keys = json.loads(chunk.metadata()["keys"])
                        self._vectors.update(zip(keys, chunk.get_tensor("vectors"), strict=True))
                except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                    raise CacheError(f"{path}: not a file of vectors; delete it") from error
                self._read.add(path)

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Add vectors of one shape; whole files of :data:`CHUNK` vectors are written.

        Raises:
            CacheError: they cannot be written.
        """
        self._new |= {key: np.asarray(vector, np.float32) for key, vector in vectors.items()}
        self._vectors |= self._new
        if len(self._new) >= CHUNK:
            self.flush()

    def flush(self) -> None:
        """Write what was added and is not on disk yet.

        Raises:
            CacheError: it cannot be written.
        """
        if not self._new:
            return
        keys = list(self._new)
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]
        path, new = self.folder / f"{name}.safetensors", self.folder / f"{name}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            matrix = np.stack(list(self._new.values()))
            save_file({"vectors": matrix}, new, metadata={"keys": json.dumps(keys)})
            new.replace(path)
        except (OSError, SafetensorError) as error:
            new.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise CacheError(f"{path}: cannot be written ({reason})") from error
        self._read.add(path)
        self._new = {}

    def fill(
        self,
        sources: Mapping[str, Source],
        load: Callable[[str, Source], Any],
        compute: Callable[[Sequence[Any]], np.ndarray],
        *,
        size: Callable[[Any], int],
        batch_size: int,
        accelerator: Any,
        what: str,
    ) -> None:
        """Compute the vectors that are not there yet; every process does its share.

        Args:
            sources: what each vector is computed from, by its key.
            load: takes a key and its source, and returns what ``compute`` takes several of.
            compute: returns one vector for each.
            size: items of similar size are computed together.
            batch_size: number of items that are computed together.
            accelerator: of the run; tells the processes apart.
            what: name on the progress bar.

        Raises:
            CacheError: a file cannot be written.
        """
        missing = [key for key in sources if key not in self]
        share = missing[accelerator.process_index :: accelerator.num_processes]
        with tqdm(
            total=len(share), desc=what, disable=not (share and accelerator.is_main_process)
        ) as bar:
            for start in range(0, len(share), CHUNK):
                keys = share[start : start + CHUNK]
                loaded = sorted(
                    ((key, load(key, sources[key])) for key in keys), key=lambda pair: size(pair[1])
                )
                for first in range(0, len(loaded), batch_size):
                    batch = loaded[first : first + batch_size]
                    vectors = compute([item for _, item in batch])
                    self.add(dict(zip((key for key, _ in batch), vectors, strict=True)))
                    bar.update(len(batch))
                self.flush()
        accelerator.wait_for_everyone()
        self.refresh()


def audio_bytes(audio: Mapping[str, Any]) -> bytes:
    """The encoded bytes of a data set's audio, ``{"bytes", "path"}``."""
    return audio["bytes"] if audio["bytes"] is not None else Path(audio["path"]).read_bytes()


def clip_hash(audio: Mapping[str, Any]) -> str:
    """SHA-256 over the encoded audio of a clip.

    The corpus's own ``audio_hash`` is that of the recording before cleaning, so it does not
    identify the cleaned clip.
    """
    return hashlib.sha256(audio_bytes(audio)).hexdigest()


def module_hash(module: nn.Module, *facts: Any) -> str:
    """Hash the weights of a module and whatever else decides its output: 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


def text_keys(texts: Iterable[str]) -> dict[str, str]:
    """Texts by their hash."""
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}

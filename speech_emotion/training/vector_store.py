"""Vectors on disk, found by what they were computed from."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn
from tqdm.auto import tqdm

from speech_emotion.training.saving import refuse_failed_writes

Source = TypeVar("Source")

CHUNK = 256
"""So many vectors are written at once; a run that is stopped loses no more."""


class VectorStore:
    """A folder of chunks, each a safetensors file of float32 rows and their keys.

    Several processes and several runs may add to one folder: a chunk is written beside its place
    and then moved there, under a name that follows from its keys.

    Args:
        folder: made when the first vectors are added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._vectors: dict[str, np.ndarray] = {}
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
                with safe_open(path, framework="numpy") as chunk:
                    keys = json.loads(chunk.metadata()["keys"])
                    self._vectors.update(zip(keys, chunk.get_tensor("vectors"), strict=True))
                self._read.add(path)

    def add(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Write vectors of one shape.

        Raises:
            TrainingFailed: they cannot be written.
        """
        keys = list(vectors)
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]
        path, new = self.folder / f"{name}.safetensors", self.folder / f"{name}.new"
        with refuse_failed_writes(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            rows = np.stack(list(vectors.values())).astype(np.float32)
            save_file({"vectors": rows}, new, metadata={"keys": json.dumps(keys)})
            new.replace(path)
        self._vectors.update(vectors)
        self._read.add(path)


def fill(
    store: VectorStore,
    sources: Mapping[str, Source],
    load: Callable[[str, Source], Any],
    compute: Callable[[Sequence[Any]], np.ndarray],
    *,
    size: Callable[[Any], int],
    batch_size: int,
    accelerator: Any,
    what: str,
) -> None:
    """Compute the vectors that a store does not hold yet; every process does its share.

    Args:
        sources: what each vector is computed from, by its key.
        load: takes a key and its source, and returns what ``compute`` takes several of.
        compute: returns one row for each.
        size: items of about one size are computed together.
        what: name on the progress bar.

    Raises:
        TrainingFailed: a chunk cannot be written.
    """
    missing = [key for key in sources if key not in store]
    share = missing[accelerator.process_index :: accelerator.num_processes]
    with tqdm(
        total=len(share), desc=what, disable=not (share and accelerator.is_main_process)
    ) as bar:
        for start in range(0, len(share), CHUNK):
            keys = share[start : start + CHUNK]
            loaded = sorted(
                ((key, load(key, sources[key])) for key in keys), key=lambda p: size(p[1])
            )
            made: dict[str, np.ndarray] = {}
            for first in range(0, len(loaded), batch_size):
                batch = loaded[first : first + batch_size]
                rows = compute([item for _, item in batch])
                made.update(zip((key for key, _ in batch), rows, strict=True))
                bar.update(len(batch))
            store.add(made)
    accelerator.wait_for_everyone()
    store.refresh()


def weights_hash(module: nn.Module, *facts: Any) -> str:
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

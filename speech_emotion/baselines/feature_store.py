"""Features on disk: the 94 values of a clip are computed once for all baselines."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hub_model.audio import load_audio
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips, audio_bytes, collect
from speech_emotion.baselines.features import FEATURE_NAMES, FEATURE_VERSION, clip_features

STORE_FILE = "features.parquet"
_KEY = "audio_sha256"
_STAMP = b"features"


def clip_hash(audio: dict[str, Any]) -> str:
    """SHA-256 over the encoded audio of a clip.

    The corpus's own ``audio_hash`` is that of the recording before cleaning, so it does not
    identify the cleaned clip.
    """
    return hashlib.sha256(audio_bytes(audio)).hexdigest()


def stored_features(rows: Dataset, cache: str | Path, *, what: str) -> Clips[np.ndarray]:
    """The features of every clip of a split; those in the store are not computed again.

    Computed features are stored even when the run is interrupted.

    Args:
        rows: one split, its audio as encoded bytes.
        cache: folder of the store.
        what: name of the split on the progress bar.

    Returns:
        the usable clips with float32 (94,) each.

    Raises:
        BaselineError: the store holds features of another version, or is damaged.
    """
    path = Path(cache) / STORE_FILE
    known = read_store(path)
    before = len(known)

    def compute(audio: dict[str, Any]) -> np.ndarray:
        key = clip_hash(audio)
        if key not in known:
            known[key] = clip_features(load_audio(audio))
        return known[key]

    try:
        return collect(rows, compute, what=f"features, {what}")
    finally:
        if len(known) > before:
            write_store(path, known)


def read_store(path: Path) -> dict[str, np.ndarray]:
    """Features by hash of the clip; none when there is no such file.

    Raises:
        BaselineError: not a feature file, or of another version.
    """
    if not path.exists():
        return {}
    try:
        table = pq.read_table(path)
        stamp = json.loads((table.schema.metadata or {})[_STAMP])
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BaselineError(f"{path}: not a feature file; delete it or name another --cache") from (
            error
        )
    if stamp != _stamp():
        raise BaselineError(
            f"{path}: holds features of version {stamp.get('version')}, this code makes version "
            f"{FEATURE_VERSION}; delete it or name another --cache"
        )
    values = np.stack([table[name].to_numpy() for name in FEATURE_NAMES], axis=1)
    return dict(zip(table[_KEY].to_pylist(), values, strict=True))


def write_store(path: Path, features: dict[str, np.ndarray]) -> None:
    """Write a feature file beside its place, then move it there.

    Raises:
        BaselineError: it cannot be written.
    """
    values = np.stack(list(features.values())).astype(np.float32)
    columns = {_KEY: list(features), **dict(zip(FEATURE_NAMES, values.T, strict=True))}
    table = pa.table(columns).replace_schema_metadata({_STAMP: json.dumps(_stamp())})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written ({error.strerror or error})") from error


def _stamp() -> dict[str, Any]:
    return {"version": FEATURE_VERSION, "names": list(FEATURE_NAMES)}

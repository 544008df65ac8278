"""The 94 features of clips, computed once for all baselines."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hub_model.audio import load_audio
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips, collect
from speech_emotion.baselines.features import FEATURE_VERSION, clip_features, one_thread
from speech_emotion.predict.vector_cache import CacheError, VectorCache, clip_hash

__all__ = ["clip_hash", "features_folder", "stored_features"]


def features_folder(cache: str | Path) -> Path:
    """Folder of the features in a cache; another version of the features has another one."""
    return Path(cache) / f"features-{FEATURE_VERSION}"


@one_thread
def stored_features(rows: Dataset, cache: str | Path, *, what: str) -> Clips[np.ndarray]:
    """The features of every clip of a split; those in the cache are not computed again.

    Computed features are stored even when the run is interrupted.

    Args:
        rows: one split, its audio as encoded bytes.
        cache: folder of the cache.
        what: name of the split on the progress bar.

    Returns:
        the usable clips with float32 (94,) each.

    Raises:
        BaselineError: the cache is damaged, or cannot be written.
    """
    try:
        known = VectorCache(features_folder(cache))

        def compute(audio: dict[str, Any]) -> np.ndarray:
            key = clip_hash(audio)
            if key not in known:
                known.add({key: clip_features(load_audio(audio))})
            return known[key]

        try:
            return collect(rows, compute, what=f"features, {what}")
        finally:
            known.flush()
    except CacheError as error:
        raise BaselineError(str(error)) from error

"""The clips that a baseline is trained on: labels, and a value computed from each clip."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from hub_model.audio import AudioError
from hub_model.labels import EMOTIONS
from speech_emotion.baselines import BaselineError
from speech_emotion.predict.vector_cache import audio_bytes

__all__ = ["Clips", "audio_bytes", "check_classes", "collect"]

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Clips(Generic[Value]):
    """The usable clips of a split.

    Attributes:
        rows: the clips in the data set.
        kept: their indices in the split.
        values: the value computed from each, in the same order.
        left_out: reasons of the clips that could not be used, by utterance id.
    """

    rows: Dataset
    kept: list[int]
    values: list[Value]
    left_out: dict[str, str]

    @property
    def labels(self) -> np.ndarray:
        """int (num_clips,), the emotion ids."""
        return np.asarray(self.rows["label"][:], dtype=np.int64)


def collect(rows: Dataset, compute: Callable[[dict[str, Any]], Value], *, what: str) -> Clips:
    """Compute a value from every clip; a clip that cannot be used is left out and recorded.

    Args:
        rows: one split, its audio as encoded bytes.
        compute: takes ``{"bytes", "path"}``; an :class:`AudioError` leaves the clip out.
        what: name on the progress bar.

    Raises:
        BaselineError: no clip is left.
    """
    kept, values, left_out = [], [], {}
    for index, row in enumerate(
        tqdm(rows.select_columns(["audio", "utterance_id"]), desc=what, unit="clip", disable=None)
    ):
        try:
            values.append(compute(row["audio"]))
            kept.append(index)
        except AudioError as error:
            left_out[row["utterance_id"]] = str(error)
    if not kept:
        raise BaselineError(f"no clip of the split can be used: {next(iter(left_out.values()))}")
    return Clips(rows=rows.select(kept), kept=kept, values=values, left_out=left_out)


def check_classes(labels: np.ndarray, *, allow_missing: bool) -> None:
    """Refuse labels without clips of all seven emotions.

    Args:
        labels: int (num_clips,), emotion ids of the training clips.
        allow_missing: accept two emotions or more.

    Raises:
        BaselineError: names what is missing.
    """
    present = set(labels.tolist())
    if len(present) < 2:
        (only,) = present
        raise BaselineError(
            f"all training clips are {EMOTIONS[only]}: at least two emotions are needed"
        )
    missing = [name for number, name in enumerate(EMOTIONS) if number not in present]
    if missing and not allow_missing:
        raise BaselineError(
            f"no training clip is {' or '.join(missing)}; "
            "--allow-missing trains a baseline that never predicts it"
        )

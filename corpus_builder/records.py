"""The columns of the corpus: one :class:`Clip` is one row, audio apart."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets import Audio, ClassLabel, Features, List, Value

from corpus_builder.sources.base import RATINGS
from hub_model.audio import SAMPLING_RATE
from hub_model.labels import EMOTIONS

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One row of the corpus, and where its audio is stored until the shards are written.

    See :class:`corpus_builder.sources.Utterance` for what is not explained here.

    Args:
        label: the emotion, by name.
        source_label: the corpus's own label.
        transcript: the words that the corpus gives; None when it has none.
        whisper_transcript: the words that the transcriber recognised in the recording; None
            without a transcriber, or when it recognised none.
        duration: seconds after cleaning.
        source_id: ``utterance_id`` of the recording this clip was made from; its own when it was
            not augmented.
        augmentation: None, or the parameters as a JSON string.
        audio_hash: hash of the decoded samples: of the source file, or of an augmented copy.
        part: the store's file that holds the audio.
        part_row: row in that file.
        num_bytes: size of the encoded audio.
    """

    label: str
    source_label: str
    corpus: str
    speaker_id: str
    gender: str | None
    intensity: str | None
    sentence_id: str | None
    transcript: str | None
    whisper_transcript: str | None = None
    duration: float
    utterance_id: str
    source_id: str
    augmentation: str | None
    audio_hash: str
    fold: int | None = None
    session: str | None = None
    age: int | None = None
    votes: tuple[float, ...] | None = None
    valence: float | None = None
    activation: float | None = None
    dominance: float | None = None
    openness: float | None = None
    conscientiousness: float | None = None
    extraversion: float | None = None
    agreeableness: float | None = None
    neuroticism: float | None = None
    part: Path
    part_row: int
    num_bytes: int

    def columns(self) -> dict[str, Any]:
        """Return the row as published, without its audio and with the label by name."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS = tuple(
    field.name for field in fields(Clip) if field.name not in {"part", "part_row", "num_bytes"}
)
"""Every column but ``audio``, in published order."""


def features(labels: Sequence[str] = EMOTIONS) -> Features:
    """Return the data set's features; ``audio`` is 16 kHz FLAC, already cleaned."""
    return Features(
        {
            "audio": Audio(sampling_rate=SAMPLING_RATE),
            **{name: Value("string") for name in COLUMNS},
            **{name: Value("int64") for name in ("fold", "age")},
            **{name: Value("float64") for name in ("duration", *RATINGS)},
            "votes": List(Value("float64")),
            "label": ClassLabel(names=list(labels)),
        }
    )

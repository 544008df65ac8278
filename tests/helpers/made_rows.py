"""Rows of a corpus without audio, for what is decided from the rows alone."""

from collections.abc import Iterable
from pathlib import Path

from corpus_builder.records import Clip
from hub_model.labels import EMOTIONS


def clip(corpus: str, speaker: int, gender: str, label: str, take: int) -> Clip:
    """Return a clip whose name tells its speaker, label and take."""
    name = f"{corpus}-{speaker}-{label}-{take}"
    return Clip(
        label=label,
        source_label=label,
        corpus=corpus,
        speaker_id=f"{corpus}-{speaker}",
        gender=gender,
        intensity=None,
        sentence_id=None,
        transcript=None,
        duration=1.0,
        utterance_id=name,
        source_id=name,
        augmentation=None,
        audio_hash=name,
        part=Path("part"),
        part_row=0,
        num_bytes=1,
    )


def ravdess(actors: Iterable[int], takes: int = 8) -> list[Clip]:
    """Return ``takes`` clips of every emotion for each actor; even numbers are women."""
    return [
        clip("ravdess", actor, "male" if actor % 2 else "female", label, take)
        for actor in actors
        for label in EMOTIONS
        for take in range(takes)
    ]

"""The leak guard: what a model heard in training, held against the clips it is scored on."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpus_builder.sources import SOURCES
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.training.provenance import HASH_DIGITS


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a model's record says it has heard, in every stage of its training.

    Attributes:
        speakers: everybody it heard; None when the record does not say.
        hashes: the first digits of the hashes of the decoded clips, where they are recorded.
        fingerprints: hashes over whole splits that it learnt from or was chosen on.
        unnamed: corpora that a stage learnt from without saying whom of them.
    """

    speakers: frozenset[str] | None = None
    hashes: frozenset[str] = frozenset()
    fingerprints: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()


def heard_by(training: dict[str, Any] | None) -> Heard:
    """Read the record under ``training`` in a model's config, with the stages before it."""
    if not training:
        return Heard()
    records = [training, *(training.get("stages") or [])]
    told = [record["speakers"] for record in records if record.get("speakers") is not None]
    speakers = frozenset(name for names in told for name in names)
    # A record with data and speakers is whole; a stage may tell of its corpora by licence alone.
    whole = {
        name.lower()
        for record in records
        if record.get("speakers") is not None
        for name in record.get("data") or ()
    }
    named = {
        name.lower()
        for record in records
        for name in (*(record.get("data") or ()), *(record.get("licences") or ()))
    }
    return Heard(
        speakers=speakers if told else None,
        hashes=frozenset(
            h for record in records for h in (record.get("audio_hashes") or "").split()
        ),
        fingerprints=frozenset(
            value
            for record in records
            for key, value in record.items()
            if key.endswith("fingerprint") and value
        ),
        unnamed=frozenset(
            name
            for name in (named & set(SOURCES)) - whole
            if not any(speaker.startswith(f"{name}-") for speaker in speakers)
        ),
    )


def overlap(heard: Heard, clips: ClipSet) -> dict[str, Any] | None:
    """What the test clips share with the training of a model.

    Returns:
        None when nothing is known of its training. Else ``speakers``, heard ones that are tested;
        ``clips``, how many clips they have; ``same_clips``, clips whose very audio was learnt
        from; ``maybe``, tested corpora of which it learnt without saying from whom.
    """
    if heard.speakers is None:
        return None
    speakers = clips.speakers
    shared = sorted(heard.speakers & set(speakers))
    hashes = clips.audio_hashes if heard.hashes or heard.fingerprints else []
    same = sum(value[:HASH_DIGITS] in heard.hashes for value in hashes)
    if hashes and _fingerprint(hashes) in heard.fingerprints:
        same = len(hashes)
    return {
        "speakers": shared,
        "clips": int(np.isin(speakers, shared).sum()),
        "same_clips": same,
        "maybe": sorted(heard.unnamed & set(clips.corpora)),
    }


def _fingerprint(hashes: list[str]) -> str:
    """The fingerprint of a split, as the training writes it into its record."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()

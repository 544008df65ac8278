"""The leak guard: compares a model's training record with the clips it is scored on."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from corpus_builder.sources import SOURCES
from speech_emotion.evaluation.clips import ClipSet
from speech_emotion.training.provenance import HASH_DIGITS, RECORD_FILE


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """The training data of a model, in every stage of its training.

    Attributes:
        speakers: all its speakers; None when the record does not name them.
        hashes: the first digits of the hashes of the decoded clips, where they are recorded.
        fingerprints: hashes over whole training and validation splits.
        unnamed: corpora of a stage that does not name its speakers.
    """

    speakers: frozenset[str] | None = None
    hashes: frozenset[str] = frozenset()
    fingerprints: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, record: dict[str, Any] | None) -> "TrainingRecord":
        """The training data that a record names, earlier stages included.

        Args:
            record: see :func:`read_record`.
        """
        if not record:
            return cls()
        stages = [record, *(record.get("stages") or [])]
        named = [stage for stage in stages if stage.get("speakers") is not None]
        speakers = frozenset(name for stage in named for name in stage["speakers"])
        # A stage with data and speakers is complete; others may name a corpus by its licence alone.
        complete = {name.lower() for stage in named for name in stage.get("data") or ()}
        corpora = {
            name.lower()
            for stage in stages
            for name in (*(stage.get("data") or ()), *(stage.get("licences") or ()))
        }
        return cls(
            speakers=speakers if named else None,
            hashes=frozenset(
                digits for stage in stages for digits in (stage.get("audio_hashes") or "").split()
            ),
            fingerprints=frozenset(
                value
                for stage in stages
                for key, value in stage.items()
                if key.endswith("fingerprint") and value
            ),
            unnamed=frozenset(
                name
                for name in (corpora & set(SOURCES)) - complete
                if not any(speaker.startswith(f"{name}-") for speaker in speakers)
            ),
        )


def read_record(folder: Path) -> dict[str, Any] | None:
    """The training record of a checkpoint.

    It is read from :data:`RECORD_FILE`; checkpoints without that file have it under ``training``
    in config.json.

    Returns:
        None when neither file has one.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is not JSON.
    """
    file = folder / RECORD_FILE
    if file.is_file():
        record = json.loads(file.read_text(encoding="utf-8"))
    else:
        record = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("training")
    return record or None


def overlap(record: TrainingRecord, clips: ClipSet) -> dict[str, Any] | None:
    """What the test clips share with the training data of a model.

    Returns:
        None when the record names no speakers. Else ``speakers``, those of the training data that
        are tested; ``clips``, their number of test clips; ``same_clips``, test clips that are in
        the training data; ``maybe``, tested corpora of a stage that does not name its speakers.
    """
    if record.speakers is None:
        return None
    speakers = clips.speakers
    # A corpus that is built from a table has this prefix before the table's names.
    known = record.speakers | {name.removeprefix("csv-") for name in record.speakers}
    shared = sorted(known & set(speakers))
    hashes = clips.audio_hashes if record.hashes or record.fingerprints else []
    same = sum(value[:HASH_DIGITS] in record.hashes for value in hashes)
    if hashes and _fingerprint(hashes) in record.fingerprints:
        same = len(hashes)
    return {
        "speakers": shared,
        "clips": int(np.isin(speakers, shared).sum()),
        "same_clips": same,
        "maybe": sorted(record.unnamed & set(clips.corpora)),
    }


def _fingerprint(hashes: list[str]) -> str:
    """The fingerprint of a split, as the training record has it."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()

"""From the sources to the clips of a build: reading, harmonising, dropping duplicates."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from corpus_builder import CorpusError
from corpus_builder.cleaning import rejection
from corpus_builder.clip_store import read_part
from corpus_builder.records import COLUMNS, Clip
from corpus_builder.sources import Rejected, Source, Utterance

BAD = ("name", "label", "missing", "unusable")
"""Reasons of a rejection that are faults of a file, which ``--strict`` does not allow."""

DESCRIPTION = [field.name for field in fields(Utterance) if field.name in COLUMNS]
"""Columns of a clip that are copied from its recording."""


@dataclass
class Listing:
    """The recordings of all sources.

    Args:
        utterances: by id, in id order.
        labels: the emotion of each, by id.
        rejected: files that cannot be used.
        removed: how many utterances of each (corpus, source label) have no class.
    """

    utterances: dict[str, Utterance] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)


def read_sources(sources: Iterable[Source], *, labels: Collection[str]) -> Listing:
    """Read every source and harmonise its labels."""
    found = Listing()
    for source in sources:
        for item in source.read():
            if isinstance(item, Rejected):
                found.rejected.append(item)
                continue
            label = source.harmonise(item.source_label, labels=labels)
            if label is None:
                found.removed[item.corpus, item.source_label] += 1
            else:
                found.utterances[item.utterance_id] = item
                found.labels[item.utterance_id] = label
    found.utterances = dict(sorted(found.utterances.items()))
    return found


def collect_clips(parts: Iterable[Path], found: Listing) -> list[Clip]:
    """Return the clips in id order, each recording once.

    Clips that cleaning dropped and duplicates are added to ``found.rejected``.
    """
    clips: list[Clip] = []
    first_with: dict[str, str] = {}
    for part in parts:
        for row, (cleaned, num_bytes) in enumerate(read_part(part)):
            utterance = found.utterances[cleaned.utterance_id]
            label = found.labels[cleaned.utterance_id]
            if cleaned.reason:
                found.rejected.append(rejection(utterance, cleaned, label=label))
                continue
            assert cleaned.audio_hash is not None and cleaned.duration is not None
            first = first_with.setdefault(cleaned.audio_hash, cleaned.utterance_id)
            if first != cleaned.utterance_id:
                found.rejected.append(
                    Rejected(
                        corpus=utterance.corpus,
                        path=utterance.path,
                        reason="duplicate",
                        detail=f"same samples as {first}",
                        label=label,
                    )
                )
                continue
            clips.append(
                Clip(
                    **{name: getattr(utterance, name) for name in DESCRIPTION},
                    label=label,
                    duration=cleaned.duration,
                    source_id=utterance.utterance_id,
                    augmentation=None,
                    audio_hash=cleaned.audio_hash,
                    part=part,
                    part_row=row,
                    num_bytes=num_bytes,
                )
            )
    return clips


def require_clips(clips: list[Clip], rejected: Iterable[Rejected]) -> None:
    """Raise :class:`CorpusError` when no clip is left, with the reasons of the rejections."""
    if not clips:
        reasons = Counter(item.reason for item in rejected)
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        raise CorpusError(f"no clip is left to build from (rejected: {counts or 'none'})")


def require_usable(rejected: Iterable[Rejected], roots: Mapping[str, Path]) -> None:
    """Raise :class:`CorpusError`, which names the first, when a file is faulty (``--strict``)."""
    bad = [item for item in rejected if item.reason in BAD]
    if bad:
        first = bad[0]
        where = first.path.relative_to(roots[first.corpus]).as_posix()
        raise CorpusError(
            f"--strict: {len(bad)} bad files, the first is {where} of {first.corpus}: "
            f"{first.detail}"
        )

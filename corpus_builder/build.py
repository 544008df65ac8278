"""The build: read, clean, drop duplicates, split, write, audit (paper, section III-A)."""

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus_builder import provenance
from corpus_builder.audit import audit, require_no_leak, to_dicts
from corpus_builder.card import CARD_FILE, card_text
from corpus_builder.cleaning import MIN_DURATION, rejection
from corpus_builder.clip_store import read_part, split_into_tasks
from corpus_builder.labels import class_names, harmonise
from corpus_builder.records import Clip, features
from corpus_builder.shards import MAX_SHARD_BYTES, read_rows, write_shards
from corpus_builder.sources import CorpusError, Rejected, Source, Utterance
from corpus_builder.splits import HELD_OUT, PROTOCOLS
from corpus_builder.statistics import describe_split
from corpus_builder.workers import run_tasks
from hub_model.audio import Cleaning

WORK = ".work"
BUILD_FILE = "build.json"
REJECTED_FILE = "rejected.csv"


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """What a build is made of; with the source files it decides every byte of the shards.

    Args:
        out: the data set's folder.
        configs: protocols to write; the first is the default configuration.
        seed: decides the splits and the order of rows.
        keep_neutral: keep neutral as an eighth class.
        min_duration: seconds; shorter clips are dropped.
        cleaning: audio settings.
        max_shard_bytes: audio bytes in one parquet file.
        workers: processes.
    """

    out: Path
    configs: tuple[str, ...] = tuple(PROTOCOLS)
    seed: int = 42
    keep_neutral: bool = False
    min_duration: float = MIN_DURATION
    cleaning: Cleaning = field(default_factory=Cleaning)
    max_shard_bytes: int = MAX_SHARD_BYTES
    workers: int = 1


def build(sources: Sequence[Source], config: BuildConfig) -> dict[str, Any]:
    """Build the data set and return what ``build.json`` holds.

    Args:
        sources: the corpora; their order does not matter.
        config: the settings.

    Raises:
        CorpusError: a wrong folder, nothing left to build from, too few clips to split, or a
            leak that a configuration forbids.
    """
    _refuse_foreign(config.out)
    work = config.out / WORK
    sources = sorted(sources, key=lambda source: source.name)
    utterances, rejected, removed = _read(sources, keep_neutral=config.keep_neutral)
    tasks = split_into_tasks(
        list(utterances.values()),
        folder=work / "clips",
        cleaning=config.cleaning,
        min_duration=config.min_duration,
    )
    parts = run_tasks(tasks, workers=config.workers)
    clips, dropped = _collect(parts, utterances, keep_neutral=config.keep_neutral)
    if not clips:
        reasons = Counter(item.reason for item in rejected + dropped)
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        raise CorpusError(f"no clip is left to build from (rejected: {counts or 'none'})")
    report = {
        "emotions": list(class_names(keep_neutral=config.keep_neutral)),
        "settings": {
            "configs": list(config.configs),
            "seed": config.seed,
            "held_out": HELD_OUT,
            "keep_neutral": config.keep_neutral,
            "min_duration": config.min_duration,
            "cleaning": config.cleaning.to_dict(),
            "max_shard_bytes": config.max_shard_bytes,
        },
        "sources": {source.name: source.describe() for source in sources},
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "fingerprint": provenance.fingerprint({"": [clip.columns() for clip in clips]}),
        "removed_labels": _count(removed.elements()),
        "dropped": _count((i.corpus, i.reason, i.label or "unknown") for i in rejected + dropped),
        "kept": _count((clip.corpus, clip.label) for clip in clips),
        "configs": {
            name: _write_config(name, clips, config=config, folder=work / "shards")
            for name in config.configs
        },
    }
    roots = {source.name: source.root for source in sources}
    _install(config, rejected=rejected + dropped, roots=roots, report=report)
    return report


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder whose content a build would mix with."""
    if out.exists() and not out.is_dir():
        raise CorpusError(f"--out {out}: a file, not a folder")
    ours = (out / BUILD_FILE).exists() or (out / WORK).exists()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise CorpusError(f"--out {out}: holds files that no build has written; name a new one")


def _read(
    sources: Iterable[Source], *, keep_neutral: bool
) -> tuple[dict[str, Utterance], list[Rejected], Counter[tuple[str, str]]]:
    """Return utterances by id, files with unusable names, and counts of removed labels."""
    utterances: dict[str, Utterance] = {}
    rejected: list[Rejected] = []
    removed: Counter[tuple[str, str]] = Counter()
    for source in sources:
        for found in source.read():
            if isinstance(found, Rejected):
                rejected.append(found)
            elif harmonise(found.corpus, found.source_label, keep_neutral=keep_neutral) is None:
                removed[found.corpus, found.source_label] += 1
            else:
                utterances[found.utterance_id] = found
    return dict(sorted(utterances.items())), rejected, removed


def _collect(
    parts: Iterable[Path], utterances: dict[str, Utterance], *, keep_neutral: bool
) -> tuple[list[Clip], list[Rejected]]:
    """Return the clips to publish in id order, each recording once, and the dropped ones."""
    clips: list[Clip] = []
    rejected: list[Rejected] = []
    first_with: dict[str, str] = {}
    for part in parts:
        for row, (cleaned, num_bytes) in enumerate(read_part(part)):
            utterance = utterances[cleaned.utterance_id]
            label = harmonise(utterance.corpus, utterance.source_label, keep_neutral=keep_neutral)
            if cleaned.reason:
                rejected.append(rejection(utterance, cleaned, label=label))
                continue
            first = first_with.setdefault(cleaned.audio_hash, cleaned.utterance_id)
            if first != cleaned.utterance_id:
                rejected.append(
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
                    label=label,
                    source_label=utterance.source_label,
                    corpus=utterance.corpus,
                    speaker_id=utterance.speaker_id,
                    gender=utterance.gender,
                    intensity=utterance.intensity,
                    sentence_id=utterance.sentence_id,
                    transcript=utterance.transcript,
                    transcript_source="corpus" if utterance.transcript else None,
                    duration=cleaned.duration,
                    utterance_id=utterance.utterance_id,
                    source_id=utterance.utterance_id,
                    augmentation=None,
                    audio_hash=cleaned.audio_hash,
                    part=part,
                    part_row=row,
                    num_bytes=num_bytes,
                )
            )
    return clips, rejected


def _write_config(
    name: str, clips: Sequence[Clip], *, config: BuildConfig, folder: Path
) -> dict[str, Any]:
    """Split, write the shards, audit what was written; return the configuration's description."""
    splits = PROTOCOLS[name](clips, seed=config.seed)
    columns = features(keep_neutral=config.keep_neutral)
    shutil.rmtree(folder / name, ignore_errors=True)
    files: dict[str, list[Path]] = {}
    total = sum(map(len, splits.values()))
    with tqdm(total=total, desc=f"writing {name}", unit="clip") as progress:
        for split, rows in splits.items():
            files[split] = write_shards(
                folder / name,
                split,
                rows,
                features=columns,
                max_shard_bytes=config.max_shard_bytes,
                on_rows=progress.update,
            )
    written = read_rows(folder, name)
    findings = audit(written, config=name)
    require_no_leak(findings, config=name)
    labels = class_names(keep_neutral=config.keep_neutral)
    return {
        "fingerprint": provenance.fingerprint(written),
        "splits": {
            split: describe_split(written[split], labels)
            | {"shards": len(paths), "num_bytes": sum(path.stat().st_size for path in paths)}
            for split, paths in files.items()
        },
        "audit": to_dicts(findings),
    }


def _install(
    config: BuildConfig,
    *,
    rejected: Sequence[Rejected],
    roots: Mapping[str, Path],
    report: Mapping[str, Any],
) -> None:
    """Put the finished files in place; ``build.json`` comes last and marks a whole build."""
    texts = {
        REJECTED_FILE: _rejected_text(rejected, roots),
        CARD_FILE: card_text(report),
        BUILD_FILE: json.dumps(report, indent=2) + "\n",
    }
    (config.out / BUILD_FILE).unlink(missing_ok=True)
    for name in PROTOCOLS:
        shutil.rmtree(config.out / name, ignore_errors=True)
    for name in config.configs:
        (config.out / WORK / "shards" / name).rename(config.out / name)
    for name, text in texts.items():
        (config.out / WORK / name).write_text(text, encoding="utf-8")
        (config.out / WORK / name).replace(config.out / name)
    shutil.rmtree(config.out / WORK)


def _rejected_text(rejected: Iterable[Rejected], roots: Mapping[str, Path]) -> str:
    """Return ``rejected.csv``; paths are relative, so that it can be published."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["corpus", "path", "label", "reason", "detail"])
    writer.writerows(
        sorted(
            [
                item.corpus,
                item.path.relative_to(roots[item.corpus]).as_posix(),
                item.label or "",
                item.reason,
                item.detail,
            ]
            for item in rejected
        )
    )
    return buffer.getvalue()


def _count(keys: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Count tuples into nested dicts, one level per element, sorted."""
    nested: dict[str, Any] = {}
    for (*outer, last), count in sorted(Counter(map(tuple, keys)).items()):
        level = nested
        for key in outer:
            level = level.setdefault(key, {})
        level[last] = count
    return nested

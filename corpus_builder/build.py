"""The build: read, clean, drop duplicates, split, balance, write, audit (section III-A)."""

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from corpus_builder import CorpusError, provenance
from corpus_builder.audit import audit, require_no_leak, to_dicts
from corpus_builder.augmentation import NoiseFolder
from corpus_builder.balancing import Balancer, make_copies, rarest_labels
from corpus_builder.card import card_text
from corpus_builder.cleaning import MIN_DURATION
from corpus_builder.clip_store import split_into_tasks
from corpus_builder.collecting import (
    Listing,
    collect_clips,
    read_sources,
    require_clips,
    require_usable,
)
from corpus_builder.figure import class_figure
from corpus_builder.labels import class_names
from corpus_builder.layout import (
    BUILD_FILE,
    CARD_FILE,
    FIGURE_FILE,
    REJECTED_FILE,
    TRANSCRIPTS,
    WORK,
)
from corpus_builder.manifest import Manifest
from corpus_builder.paper_tables import combined_counts
from corpus_builder.records import Clip, features
from corpus_builder.shards import MAX_SHARD_BYTES, read_rows, write_shards
from corpus_builder.sources import Rejected, Source
from corpus_builder.splits import HELD_OUT, PROTOCOLS, Splits, clips_of
from corpus_builder.statistics import describe_split
from corpus_builder.transcripts import KINDS, public_name, with_transcripts, word_error_rates
from corpus_builder.workers import Workers, make_workers
from hub_model.audio import Cleaning


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """Settings of a build; with the source files they decide every byte of the shards.

    Args:
        out: the data set's folder.
        configs: protocols to write; the first is the default configuration.
        seed: decides the splits and the order of rows.
        keep_neutral: keep neutral as an eighth class.
        labels: the classes, in the order of their ids, in place of the emotions of the paper.
        min_duration: seconds; shorter clips are dropped.
        cleaning: audio settings.
        target: training clips per class; see :func:`corpus_builder.balancing.targets`.
        thin: one of :data:`corpus_builder.balancing.THINNING`; when not given, ``largest`` in
            ``paper`` and ``even`` in the others.
        noise: folder of noise recordings for augmentation; generated noise when not given.
        transcripts: one of :data:`corpus_builder.transcripts.KINDS`.
        transcriber: transcribes the recordings, unless ``transcripts`` is ``known``.
        manifest: take the rows of each split from it instead of cutting and balancing.
        strict: a file that cannot be used is an error.
        max_shard_bytes: audio bytes in one parquet file.
        workers: number of processes.
        engine: ``processes`` of this machine, or ``ray``; the shards are the same.
    """

    out: Path
    configs: tuple[str, ...] = tuple(PROTOCOLS)
    seed: int = 42
    keep_neutral: bool = False
    labels: tuple[str, ...] = ()
    min_duration: float = MIN_DURATION
    cleaning: Cleaning = field(default_factory=Cleaning)
    target: int | None = None
    thin: str | None = None
    noise: Path | None = None
    transcripts: str = "known"
    transcriber: str | None = None
    manifest: Manifest | None = None
    strict: bool = False
    max_shard_bytes: int = MAX_SHARD_BYTES
    workers: int = 1
    engine: str = "processes"

    def __post_init__(self) -> None:
        if self.transcripts not in KINDS:
            raise CorpusError(f"--transcripts must be {', '.join(KINDS)}, not {self.transcripts}")
        heard, named = self.transcripts != "known", self.transcriber not in (None, "none")
        if heard != named:
            need = "needs a --transcriber" if heard else "needs no --transcriber"
            raise CorpusError(f"--transcripts {self.transcripts} {need}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their ids."""
        return self.labels or class_names(keep_neutral=self.keep_neutral)

    @classmethod
    def from_manifest(cls, manifest: Manifest, **where: Any) -> "BuildConfig":
        """Take the settings of a manifest; ``where`` holds those that it does not have.

        Raises:
            CorpusError: it is not a manifest of this layout; it needs other noise recordings, or a
                transcriber.
        """
        try:
            settings = manifest.report["settings"]
            cleaning = Cleaning.from_dict(settings["cleaning"])
            heard = settings["transcriber"]
            if heard and where.get("transcriber") is None:
                raise CorpusError(f"its transcripts are by {heard}; name it with --transcriber")
            kept = ("seed", "keep_neutral", "min_duration", "target", "max_shard_bytes")
            config = cls(
                manifest=manifest,
                configs=tuple(settings["configs"]),
                labels=tuple(settings.get("labels") or ()),
                cleaning=cleaning,
                transcripts=settings.get("transcripts", "both" if heard else "known"),
                **{name: settings[name] for name in kept},
                **where,
            )
            noise = settings["noise"]
        except CorpusError as error:
            raise CorpusError(f"--manifest: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CorpusError(f"--manifest: not the settings of a build ({error})") from error
        found = NoiseFolder.open(config.noise).files if config.noise else None
        if noise != found:
            raise CorpusError(
                "--manifest: its copies need the noise recordings that it lists; name their "
                "folder with --noise"
                if noise
                else "--manifest: its copies need no recorded noise; leave out --noise"
            )
        return config


def build(sources: Sequence[Source], config: BuildConfig) -> dict[str, Any]:
    """Build the data set and return what ``build.json`` holds.

    Args:
        sources: the corpora; their order does not matter.
        config: the settings.

    Raises:
        CorpusError: a wrong folder, nothing left to build from, too few clips to split, a bad
            file when ``strict``, or a leak that a configuration forbids.
    """
    _refuse_foreign(config.out)
    noise = NoiseFolder.open(config.noise) if config.noise else None
    sources = sorted(sources, key=lambda source: source.name)
    roots = {source.name: source.root for source in sources}
    found = read_sources(sources, labels=config.class_names)
    if config.strict:
        require_usable(found.rejected, roots)
    with make_workers(engine=config.engine, workers=config.workers) as workers:
        clips = _clean(found, config=config, workers=workers)
        if config.strict:
            require_usable(found.rejected, roots)
        require_clips(clips, found.rejected)
        clips = with_transcripts(
            clips,
            kind=config.transcripts,
            files={name: found.utterances[name].path for name in found.utterances},
            transcriber=config.transcriber,
            cache=config.out / TRANSCRIPTS,
        )
        copy = partial(
            make_copies,
            folder=config.out / WORK / "clips",
            noise=config.noise,
            run=partial(workers.run, what="augmenting"),
        )
        balancer = partial(
            Balancer,
            seed=config.seed,
            target=config.target,
            min_duration=config.min_duration,
            noise=noise,
            make_copies=copy,
        )
        configs = {}
        for name in config.configs:
            if config.manifest:
                splits = config.manifest.splits(name, clips, make_copies=copy)
            else:
                chosen = clips_of(name, clips)
                if not chosen and len(config.configs) > 1:
                    tqdm.write(f"{name}: left out, none of the corpora is one of the paper's")
                    continue
                thin = config.thin or ("largest" if name == "paper" else "even")
                balance = balancer(noise_labels=rarest_labels(chosen), thin=thin)
                splits = PROTOCOLS[name](chosen, seed=config.seed, balance=balance)
            configs[name] = _write_config(name, splits, config=config)
    report = {
        "emotions": list(config.class_names),
        "settings": _settings(config, noise, configs),
        "sources": {source.name: source.describe() for source in sources},
        "versions": provenance.versions(),
        "commit": provenance.commit(),
        "fingerprint": provenance.fingerprint({"": [clip.columns() for clip in clips]}),
        "removed_labels": _count(found.removed.elements()),
        "dropped": _count((i.corpus, i.reason, i.label or "unknown") for i in found.rejected),
        "kept": _count((clip.corpus, clip.label) for clip in clips),
        **({"word_error_rates": word_error_rates(clips)} if config.transcripts == "both" else {}),
        "configs": configs,
    }
    _install(config, rejected=found.rejected, roots=roots, report=report)
    return report


def _settings(
    config: BuildConfig, noise: NoiseFolder | None, configs: Iterable[str]
) -> dict[str, Any]:
    return {
        "configs": list(configs),
        "seed": config.seed,
        "held_out": HELD_OUT,
        "keep_neutral": config.keep_neutral,
        **({"labels": list(config.labels)} if config.labels else {}),
        "min_duration": config.min_duration,
        "cleaning": config.cleaning.to_dict(),
        "target": config.target,
        "thin": config.thin,
        "transcripts": config.transcripts,
        "transcriber": public_name(config.transcriber) if config.transcriber else None,
        "noise": dict(noise.files) if noise else None,
        "max_shard_bytes": config.max_shard_bytes,
    }


def _clean(found: Listing, *, config: BuildConfig, workers: Workers) -> list[Clip]:
    tasks = split_into_tasks(
        list(found.utterances.values()),
        folder=config.out / WORK / "clips",
        cleaning=config.cleaning,
        min_duration=config.min_duration,
    )
    return collect_clips(workers.run(tasks, what="cleaning"), found)


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder that holds files which no build has written."""
    if out.exists() and not out.is_dir():
        raise CorpusError(f"--out {out}: a file, not a folder")
    ours = (out / BUILD_FILE).exists() or (out / WORK).exists()
    if out.is_dir() and any(out.iterdir()) and not ours:
        raise CorpusError(f"--out {out}: holds files that no build has written; name a new one")


def _write_config(name: str, splits: Splits, *, config: BuildConfig) -> dict[str, Any]:
    """Write the shards, audit them, and return the description of the configuration."""
    folder = config.out / WORK / "shards"
    columns = features(config.class_names)
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
    return {
        "fingerprint": provenance.fingerprint(written),
        "splits": {
            split: describe_split(written[split], config.class_names)
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
    """Move the finished files into place; ``build.json`` comes last and marks a whole build."""
    texts = {
        REJECTED_FILE: _rejected_text(rejected, roots),
        CARD_FILE: card_text(report),
        BUILD_FILE: json.dumps(report, indent=2) + "\n",
    }
    files = {FIGURE_FILE: class_figure(combined_counts(report))}
    files |= {name: text.encode() for name, text in texts.items()}
    (config.out / BUILD_FILE).unlink(missing_ok=True)
    for name in PROTOCOLS:
        shutil.rmtree(config.out / name, ignore_errors=True)
    for name in report["configs"]:
        (config.out / WORK / "shards" / name).rename(config.out / name)
    for name, content in files.items():
        (config.out / WORK / name).write_bytes(content)
        (config.out / WORK / name).replace(config.out / name)
    shutil.rmtree(config.out / WORK)


def _rejected_text(rejected: Iterable[Rejected], roots: Mapping[str, Path]) -> str:
    """Return ``rejected.csv``, with relative paths."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["corpus", "path", "label", "reason", "detail"])
    writer.writerows(
        sorted(
            [
                item.corpus,
                os.path.relpath(item.path, roots[item.corpus]),
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

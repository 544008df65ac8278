"""The same number of clips in every class, by down-sampling and augmentation (section III-A).

Only training data is balanced: test data is cut off before.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from corpus_builder.augmentation import AugmentationTask, Copy, NoiseFolder, draw, split_into_tasks
from corpus_builder.clip_store import read_part
from corpus_builder.records import Clip

PAPER_TARGET = 2000
PAPER_TARGETS = {"happy": 1998, "surprised": 1858}
"""Clips per class in the paper's balanced train part: Table 1 plus Table 2, where not 2,000."""

TOLERANCE = 0.01
"""Share of a target that may be missing; one clip may always be."""

THINNING = ("largest", "even")
"""How a class that is too large loses clips: those of its largest corpus, then of the next; or so
that its larger corpora end with equally many. The paper does the first, see :func:`down_sample`."""

NUM_NOISE_CLASSES = 2
"""How many classes get background noise as well ("a couple of classes", section III-A)."""


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """Balances training data; callable on a list of clips.

    Args:
        seed: decides what is left out, copied, and how.
        target: clips per class; when not given, see :func:`targets`.
        thin: one of :data:`THINNING`.
        noise_labels: classes whose copies also get background noise.
        min_duration: seconds that a copy must last.
        noise: recordings of noise.
        make_copies: makes copies, given as (source, id, parameters), in that order.
    """

    seed: int
    target: int | None = None
    thin: str = "even"
    noise_labels: frozenset[str] = frozenset()
    min_duration: float = 0.0
    noise: NoiseFolder | None = None
    make_copies: Callable[[Sequence[tuple[Clip, str, str]]], list[Clip]]

    def __call__(self, clips: Sequence[Clip]) -> list[Clip]:
        """Return as many clips of each class as its target says: kept ones and copies."""
        by_label: dict[str, list[Clip]] = defaultdict(list)
        for clip in sorted(clips, key=lambda clip: clip.utterance_id):
            by_label[clip.label].append(clip)
        wanted = targets({k: len(v) for k, v in by_label.items()}, target=self.target)
        kept: set[str] = set()
        plan: list[tuple[Clip, str, str]] = []
        for label, group in sorted(by_label.items()):
            rng = random.Random(f"{self.seed}-{label}")
            fewer = down_sample(group, wanted[label], rng=rng, thin=self.thin)
            kept |= {clip.utterance_id for clip in fewer}
            plan += self._plan(group, wanted[label] - len(group), rng=rng)
        # In the order given, so that balancing what is balanced changes no later cut.
        return [clip for clip in clips if clip.utterance_id in kept] + self.make_copies(plan)

    def _plan(
        self, group: Sequence[Clip], missing: int, *, rng: random.Random
    ) -> list[tuple[Clip, str, str]]:
        """Return (source, id, parameters) of every copy, spread evenly over the sources."""
        plan = []
        shuffled = rng.sample(group, len(group))
        for index in range(max(0, missing)):
            source, take = shuffled[index % len(group)], index // len(group) + 1
            copy_id = f"{source.utterance_id}-aug{take}"
            augmentation = draw(
                take,
                # So a copy is the same in every configuration.
                rng=random.Random(f"{self.seed}-{copy_id}"),
                with_noise=source.label in self.noise_labels,
                duration=source.duration,
                min_duration=self.min_duration,
                noise=self.noise,
            )
            plan.append((source, copy_id, augmentation))
        return plan


def make_copies(
    plan: Sequence[tuple[Clip, str, str]],
    *,
    folder: Path,
    noise: Path | None,
    run: Callable[[Sequence[AugmentationTask]], list[Path]],
) -> list[Clip]:
    """Make copies and return them in the order of the plan.

    Args:
        plan: (source, id, parameters) of each.
        folder: where their parts are kept.
        noise: folder of noise recordings.
        run: runs tasks and returns their parts, in order.
    """
    copies = [
        Copy(utterance_id=name, part=source.part, part_row=source.part_row, augmentation=parameters)
        for source, name, parameters in plan
    ]
    parts = run(split_into_tasks(copies, folder=folder, noise=noise))
    made = ((part, row, clip) for part in parts for row, clip in enumerate(read_part(part)))
    return [
        replace(
            source,
            utterance_id=name,
            source_id=source.utterance_id,
            augmentation=parameters,
            duration=cast(float, clip.duration),
            audio_hash=cast(str, clip.audio_hash),
            part=part,
            part_row=row,
            num_bytes=num_bytes,
        )
        for (source, name, parameters), (part, row, (clip, num_bytes)) in zip(
            plan, made, strict=True
        )
    ]


def targets(sizes: Mapping[str, int], *, target: int | None = None) -> dict[str, int]:
    """Return how many clips each class shall have.

    Without a target these are the paper's figures, but no more than the largest class has: a
    small corpus is not enlarged. A class that lacks no more than :data:`TOLERANCE` is left as it
    is.

    Args:
        sizes: label -> number of clips.
        target: clips per class.
    """
    if target is not None:
        return dict.fromkeys(sizes, target)
    largest = max(sizes.values())
    wanted = {label: min(PAPER_TARGETS.get(label, PAPER_TARGET), largest) for label in sizes}
    return {
        label: sizes[label] if 0 < count - sizes[label] <= max(1, TOLERANCE * count) else count
        for label, count in wanted.items()
    }


def down_sample(
    clips: Sequence[Clip], size: int, *, rng: random.Random, thin: str = "even"
) -> list[Clip]:
    """Leave out clips of the largest corpora first.

    Tables 1 and 2 together hold every angry and sad clip of the train part but those of CREMA-D,
    which has most: ``largest`` gives its 621 and 603.

    Args:
        clips: those of one class.
        size: how many to keep; all when there are no more.
        rng: decides which.
        thin: one of :data:`THINNING`.
    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.corpus].append(clip)
    kept: list[Clip] = []
    remaining = min(size, len(clips))
    by_size = sorted(groups.values(), key=len)
    for index, group in enumerate(by_size):
        share = 1 if thin == "largest" else len(by_size) - index
        quota = min(len(group), remaining // share)
        kept += group if quota == len(group) else rng.sample(group, quota)
        remaining -= quota
    return kept


def rarest_labels(clips: Iterable[Clip]) -> frozenset[str]:
    """Return the :data:`NUM_NOISE_CLASSES` smallest classes, which need most copies."""
    sizes = Counter(clip.label for clip in clips)
    return frozenset(sorted(sizes, key=lambda label: (sizes[label], label))[:NUM_NOISE_CLASSES])

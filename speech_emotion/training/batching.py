"""Batches of clips or texts of similar length, so that little of a batch is padding."""

import math
from collections.abc import Iterator, Sequence

import torch
from datasets import Dataset
from torch.utils.data import Sampler

from speech_emotion.training.config import ConfigError, TrainConfig

GRID = 0.25
"""Seconds: clips whose lengths round up to the same multiple may change places."""


def text_batches(texts: Sequence[str], size: int) -> Iterator[list[int]]:
    """Yield the numbers of the texts from short to long, so many at a time."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(order), size):
        yield order[start : start + size]


class LengthOrder(Sampler[int]):
    """Clips from short to long; those of about one length in an order that epochs change.

    Args:
        seconds: length of each clip.
        seed: with the epoch it decides the order.
    """

    def __init__(self, seconds: Sequence[float], *, seed: int) -> None:
        self.steps = [math.ceil(length / GRID) for length in seconds]
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Accelerate calls this through the loader."""
        self.epoch = epoch

    def epoch_generator(self) -> torch.Generator:
        """Return a generator of this epoch. Accelerate would share one called ``generator``."""
        return torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(len(self.steps), generator=self.epoch_generator()).tolist()
        return iter(sorted(order, key=self.steps.__getitem__))


def length_batches(config: TrainConfig, rows: Dataset, *, processes: int) -> "PaddedSecondsBatches":
    """Return the batches of a training split, as long as its clips are after they are cut.

    Raises:
        ConfigError: the corpus does not say how long its clips are.
    """
    if "duration" not in rows.column_names:
        raise ConfigError(f"{config.data}: batch_seconds needs the column duration")
    seconds = [min(length, config.max_seconds) for length in rows["duration"][:]]
    order = LengthOrder(seconds, seed=config.seed)
    return PaddedSecondsBatches(order, batch_seconds=config.batch_seconds, processes=processes)


class PaddedSecondsBatches(Sampler[list[int]]):
    """Batches whose clips times their longest are at most so many seconds, in random order.

    The number of batches is the same in every epoch, and a multiple of the number of processes, so
    that all of them take as many steps. Several processes must see the same seed.

    Args:
        sampler: the clips in the order of their lengths.
        batch_seconds: at least as long as the longest clip.
        processes: number of processes that share the batches.
    """

    def __init__(self, sampler: LengthOrder, *, batch_seconds: float, processes: int = 1) -> None:
        self.sampler = sampler
        self.sizes: list[int] = []
        count = 0
        # Lengths on the grid come in the same order in every epoch; so do the sizes of batches.
        for step in sorted(sampler.steps):
            if count and (count + 1) * step * GRID > batch_seconds:
                self.sizes.append(count)
                count = 0
            count += 1
        self.sizes.append(count)
        while len(self.sizes) % processes and max(self.sizes) > 1:
            largest = self.sizes.index(max(self.sizes))
            half = self.sizes[largest] // 2
            self.sizes[largest : largest + 1] = [half, self.sizes[largest] - half]

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        batches = [order[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]
        for index in torch.randperm(
            len(batches), generator=self.sampler.epoch_generator()
        ).tolist():
            yield batches[index]

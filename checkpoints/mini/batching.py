"""Which clips go through the model together."""

from collections.abc import Sequence

from .audio import SAMPLING_RATE

PADDED_SECONDS = 120
"""Most audio in a batch, its padding included: what decides over memory and time."""


def padded_batches(
    sizes: Sequence[int], *, batch_size: int, padded_seconds: float = PADDED_SECONDS
) -> list[list[int]]:
    """Put clips of about one length together.

    Args:
        sizes: samples at 16 kHz of every clip.
        batch_size: most clips in a batch.
        padded_seconds: most seconds in a batch, every clip counted as long as its longest; a
            longer clip is a batch of its own.

    Returns:
        the places of the clips in ``sizes``, batch by batch, shortest first.

    >>> padded_batches([32000, 16000, 48000, 16000], batch_size=3, padded_seconds=4)
    [[1, 3], [0], [2]]
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        full = not batches or len(batches[-1]) == batch_size
        if full or (len(batches[-1]) + 1) * sizes[place] > padded_seconds * SAMPLING_RATE:
            batches.append([])
        batches[-1].append(place)
    return batches

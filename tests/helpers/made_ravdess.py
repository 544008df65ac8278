"""Made corpora in RAVDESS's layout: every file name is real, every sound is a tone."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile


def babble(name: str, *, seconds: float = 1.6, rate: int = 16_000) -> np.ndarray:
    """Return syllable-like bursts of harmonics, different for every name: ``(num_samples,)``."""
    rng = np.random.default_rng(list(name.encode()))
    time = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 260)
    tone = sum(np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 6)) / k for k in range(1, 8))
    bursts = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(3, 5) * time)
    return 0.1 * tone * bursts + rng.normal(0, 1e-4, time.size)


def ravdess_names(
    actors: Iterable[int],
    *,
    emotions: Iterable[int] = range(1, 9),
    statements: Iterable[int] = (1, 2),
    channel: int = 1,
) -> list[str]:
    """Return stems such as ``03-01-05-01-02-01-12``."""
    return [
        f"03-{channel:02d}-{emotion:02d}-01-{statement:02d}-01-{actor:02d}"
        for actor, emotion, statement in itertools.product(actors, emotions, statements)
    ]


def write_ravdess(root: Path, names: Iterable[str], *, suffix: str = ".wav") -> Path:
    """Write one clip per name as ``root/Actor_NN/NAME.wav``."""
    for name in names:
        path = root / f"Actor_{name[-2:]}" / f"{name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, babble(name), 16_000)
    return root

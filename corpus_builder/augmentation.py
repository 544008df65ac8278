"""Augmented copies of a clip: stretch, pitch, gain, background noise (paper, section III-A).

Parameters are drawn from a seed and recorded; a worker then applies what was recorded. So a copy
can be made again from its row alone, on any machine and in any order.

A copy is made from the cleaned clip, not from the original file: noise reduction would remove the
noise that is added here, and silence removal would undo part of a stretch.
"""

import json
import random
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from sys import modules
from typing import Any

import numpy as np

from corpus_builder import CorpusError
from corpus_builder.cleaning import CleanedClip, encode_flac
from corpus_builder.clip_store import PART_SIZE, PartTask, code_hash, read_waveform
from corpus_builder.folders import files_below
from hub_model.audio import AUDIO_SUFFIXES, SAMPLING_RATE, AudioError, audio_hash, load_audio

STRETCH = (0.05, 0.15)
"""Change of speed, faster or slower; a smaller one makes no new clip."""
PITCH = (0.5, 2.0)
"""Semitones, up or down; more would change the perceived speaker and arousal."""
GAIN = (3.0, 6.0)
"""dB, louder or softer."""
SNR = (10.0, 25.0)
"""dB between speech and background noise."""
COLOUR = (-6.0, 0.0)
"""dB per octave of generated noise: from brown to white."""

TECHNIQUES = ("stretch", "pitch", "noise", "gain")
"""In the order in which they are applied."""


@dataclass(frozen=True)
class NoiseFolder:
    """Recordings of background noise.

    Args:
        root: the folder.
        files: path below it -> hash of its bytes, in order.
    """

    root: Path
    files: Mapping[str, str]

    @classmethod
    def open(cls, root: Path) -> "NoiseFolder":
        """List a folder's recordings.

        Raises:
            CorpusError: no such folder, none in it, or one that cannot be decoded.
        """
        if not root.is_dir():
            raise CorpusError(f"--noise {root}: no such folder")
        files = {}
        for path in files_below(root):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                try:
                    load_audio(path)
                except AudioError as error:
                    raise CorpusError(f"--noise: {error}") from error
                name = path.relative_to(root).as_posix()
                files[name] = sha256(path.read_bytes()).hexdigest()[:16]
        if not files:
            raise CorpusError(f"--noise {root}: found no audio")
        return cls(root, files)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A copy that a task makes.

    Args:
        utterance_id: its own id.
        part: the store's file that holds the cleaned source clip.
        part_row: row in that file.
        augmentation: the parameters, as recorded.
    """

    utterance_id: str
    part: Path
    part_row: int
    augmentation: str


@dataclass(frozen=True, kw_only=True)
class AugmentationTask(PartTask):
    """A task that makes copies.

    Args:
        copies: what the part holds, in order.
        noise: the folder that recorded noise is taken from.
    """

    copies: tuple[Copy, ...]
    noise: Path | None = None

    @property
    def size(self) -> int:
        """Return the number of clips."""
        return len(self.copies)

    def recipe(self) -> list[Any]:
        """See :meth:`PartTask.recipe`; a part's name stands for its content."""
        copies = [(c.utterance_id, c.part.name, c.part_row, c.augmentation) for c in self.copies]
        return [code_hash(modules[__name__]), copies]

    def make(self) -> Iterable[CleanedClip]:
        """See :meth:`PartTask.make`."""
        for copy in self.copies:
            waveform = read_waveform(copy.part, copy.part_row)
            waveform = augment(waveform, json.loads(copy.augmentation), noise=self.noise)
            yield CleanedClip(
                utterance_id=copy.utterance_id,
                duration=waveform.size / SAMPLING_RATE,
                audio_hash=audio_hash(waveform),
                flac=encode_flac(waveform),
            )


def split_into_tasks(
    copies: Sequence[Copy], *, folder: Path, noise: Path | None
) -> list[AugmentationTask]:
    """Cut the copies into parts, in order."""
    return [
        AugmentationTask(
            folder=folder, copies=tuple(copies[start : start + PART_SIZE]), noise=noise
        )
        for start in range(0, len(copies), PART_SIZE)
    ]


def draw(
    take: int,
    *,
    rng: random.Random,
    with_noise: bool,
    duration: float,
    min_duration: float,
    noise: NoiseFolder | None = None,
) -> str:
    """Draw the parameters of one copy.

    The first copies of a clip use one technique, later ones two, then more, so that many copies of
    one clip still differ.

    Args:
        take: number of the copy among those of its source, from 1.
        rng: decides the parameters.
        with_noise: background noise is among the techniques.
        duration: seconds of the source clip.
        min_duration: seconds that a copy must last.
        noise: recordings to take the noise from; generated when not given.

    Returns:
        JSON: technique -> parameters.
    """
    usable = [name for name in TECHNIQUES if with_noise or name != "noise"]
    choices = [c for n in range(1, len(usable) + 1) for c in combinations(usable, n)]
    parameters: dict[str, dict[str, Any]] = {}
    for name in choices[(take - 1) % len(choices)]:
        if name == "stretch":
            change = _either_side(rng, STRETCH)
            too_short = duration / (1 + change) < min_duration
            parameters[name] = {"rate": 1 - abs(change) if too_short else 1 + change}
        elif name == "pitch":
            parameters[name] = {"semitones": _either_side(rng, PITCH)}
        elif name == "gain":
            parameters[name] = {"db": _either_side(rng, GAIN)}
        else:
            parameters[name] = {"snr_db": rng.uniform(*SNR), "seed": rng.randrange(2**32)}
            if noise is None:
                parameters[name]["db_per_octave"] = rng.uniform(*COLOUR)
            else:
                file = rng.choice(sorted(noise.files))
                parameters[name] |= {"file": file, "sha256": noise.files[file]}
    rounded = {
        name: {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
        for name, values in parameters.items()
    }
    return json.dumps(rounded)


def augment(
    waveform: np.ndarray,
    parameters: Mapping[str, Mapping[str, Any]],
    *,
    noise: Path | None = None,
) -> np.ndarray:
    """Apply recorded parameters.

    Args:
        waveform: float32 ``(num_samples,)``, 16 kHz.
        parameters: technique -> parameters, as :func:`draw` gives them.
        noise: folder of the noise recordings, when the parameters name one.

    Returns:
        float32 ``(num_samples,)``; longer or shorter when stretched; a peak above full scale
        is scaled down to it.
    """
    from audiomentations import AddBackgroundNoise, AddColorNoise, Gain, PitchShift, TimeStretch

    for name in TECHNIQUES:
        if name not in parameters:
            continue
        values = parameters[name]
        if name == "stretch":
            rate = values["rate"]
            transform = TimeStretch(rate, rate, leave_length_unchanged=False, p=1.0)
        elif name == "pitch":
            transform = PitchShift(values["semitones"], values["semitones"], p=1.0)
        elif name == "gain":
            transform = Gain(values["db"], values["db"], p=1.0)
        elif "file" in values:
            path, snr = noise / values["file"], values["snr_db"]
            transform = AddBackgroundNoise(path, min_snr_db=snr, max_snr_db=snr, p=1.0)
        else:
            snr, colour = values["snr_db"], values["db_per_octave"]
            transform = AddColorNoise(snr, snr, colour, colour, p=1.0)
        with _seeded(values.get("seed", 0)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a noise recording of another rate is resampled
            waveform = transform(waveform, SAMPLING_RATE)
    peak = float(np.abs(waveform).max())
    return np.ascontiguousarray(waveform / max(1.0, peak), dtype=np.float32)


def _either_side(rng: random.Random, sizes: tuple[float, float]) -> float:
    return rng.choice((-1, 1)) * rng.uniform(*sizes)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators that audiomentations draws from, and restore them."""
    before = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])

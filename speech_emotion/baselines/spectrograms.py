"""Spectrogram images of blocks of one second (paper, section III-C.1, Figure 5)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import librosa
import matplotlib
import numpy as np
from datasets import Dataset

from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips, collect
from speech_emotion.baselines.feature_store import clip_hash

IMAGE_VERSION = 1
"""Increased whenever an image changes; cached images and models of other versions are refused."""

BLOCK = SAMPLING_RATE
"""Samples in a block of 1 s."""

WINDOW, SHIFT = 256, 64
"""16 ms and 4 ms, as in the paper."""

N_FFT = 512
"""A window of 256 samples, zero-padded: 257 frequencies, as in the paper's arrays."""

ROWS, COLUMNS = 1 + N_FFT // 2, 1 + BLOCK // SHIFT
"""257 frequencies x 251 frames, the first and the last centred on the block's ends."""

FLOOR_DB = -80.0
"""The colours run from here to 0 dB, the level of a sine of full scale."""

JET = np.round(matplotlib.colormaps["jet"](np.arange(256))[:, :3] * 255).astype(np.uint8)
"""uint8 (256, 3): the colour of each level."""


def blocks(waveform: np.ndarray, *, shift: float = 1.0) -> np.ndarray:
    """Cut a clip into blocks of 1 s; a remainder at its end is not used.

    Args:
        waveform: float32 (num_samples,), mono, 16 kHz, cleaned.
        shift: seconds from the start of one block to that of the next.

    Returns:
        float32 (num_blocks, 16000), each scaled to -1..1.

    Raises:
        AudioError: the clip is shorter than one block.
    """
    if waveform.size < BLOCK:
        raise AudioError(
            f"{waveform.size / SAMPLING_RATE:.2f} s of audio, MobileNetV2 needs a block of 1 s"
        )
    step = round(shift * SAMPLING_RATE)
    cut = np.lib.stride_tricks.sliding_window_view(waveform, BLOCK)[::step]
    peak = np.abs(cut).max(axis=1, keepdims=True)
    return cut / np.where(peak > 0, peak, 1.0)


def levels(waveform: np.ndarray, *, shift: float = 1.0) -> np.ndarray:
    """Spectral magnitude of every block as one of 256 levels, low frequencies in the last row.

    The paper shows magnitudes in the jet colours and gives no scale; here it is decibels, since
    on a linear scale all but the loudest harmonics have the colour of silence.

    Returns:
        uint8 (num_blocks, 257, 251).

    Raises:
        AudioError: the clip is shorter than one block.
    """
    transform = librosa.stft(
        blocks(waveform, shift=shift), n_fft=N_FFT, win_length=WINDOW, hop_length=SHIFT
    )
    full_scale = WINDOW / 4  # half the sum of a Hann window
    decibels = 20 * np.log10(np.maximum(np.abs(transform) / full_scale, 10 ** (FLOOR_DB / 20)))
    scaled = np.clip(1 - decibels / FLOOR_DB, 0, 1)
    return np.ascontiguousarray(np.round(scaled * 255).astype(np.uint8)[:, ::-1])


def images(waveform: np.ndarray, *, shift: float = 1.0) -> np.ndarray:
    """The blocks of a clip as RGB images in the jet colours.

    Returns:
        uint8 (num_blocks, 257, 251, 3).

    Raises:
        AudioError: the clip is shorter than one block.
    """
    return JET[levels(waveform, shift=shift)]


def cached_levels(
    rows: Dataset, cache: str | Path, *, shift: float, what: str
) -> tuple[Clips[int], np.ndarray]:
    """The blocks of a whole split, read from a cache file if there is one.

    Args:
        rows: one split, its audio as encoded bytes.
        cache: folder of the file.
        shift: seconds between the starts of blocks.
        what: name of the split on the progress bar.

    Returns:
        the usable clips with their numbers of blocks; and uint8 (all blocks, 257, 251), mapped
        from disk, clip after clip.

    Raises:
        BaselineError: no clip has a block, or the file cannot be written.
    """
    facts = [IMAGE_VERSION, shift, *(clip_hash(audio) for audio in rows["audio"])]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    file, index = Path(cache) / f"images-{key}.u8", Path(cache) / f"images-{key}.json"
    if not index.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(rows, file, index, shift=shift, what=what)
        except OSError as error:
            raise BaselineError(f"{file}: cannot be written ({error.strerror or error})") from error
    known = json.loads(index.read_text(encoding="utf-8"))
    clips = Clips(
        rows=rows.select(known["kept"]),
        kept=known["kept"],
        values=known["blocks"],
        left_out=known["left_out"],
    )
    shape = (sum(clips.values), ROWS, COLUMNS)
    return clips, np.memmap(file, dtype=np.uint8, mode="r", shape=shape)


def _write(rows: Dataset, file: Path, index: Path, *, shift: float, what: str) -> None:
    """Write the levels, then the index: a file with an index is complete."""
    with file.open("wb") as stream:

        def add(audio: dict[str, Any]) -> int:
            made = levels(load_audio(audio), shift=shift)
            made.tofile(stream)
            return len(made)

        clips = collect(rows, add, what=f"images, {what}")
    facts = {"kept": clips.kept, "blocks": clips.values, "left_out": clips.left_out}
    index.with_suffix(".new").write_text(json.dumps(facts), encoding="utf-8")
    index.with_suffix(".new").replace(index)

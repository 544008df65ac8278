"""Speech without labels, for distillation: a corpus, folders, and espeak-ng."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from datasets import Audio, Dataset
from tqdm.auto import tqdm

from corpus_builder.folders import files_below
from corpus_builder.reading import open_corpus
from hub_model.audio import (
    AUDIO_SUFFIXES,
    MIN_SECONDS,
    SAMPLING_RATE,
    AudioError,
    clean_audio,
    load_audio,
)
from speech_emotion.training.data import texts_for_vocabulary
from speech_emotion.training.folds import Selection
from speech_emotion.training.goemotions import read_texts
from speech_emotion.training.parsing import ConfigError

MAX_SECONDS = 30
CHUNK = 16
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp", "en-gb-x-gbclan")


def collect_speech(config: Any) -> list[np.ndarray]:
    """Gather the speech that a ``DistillConfig`` names, cleaned, at every speed, in segments.

    Silence is added before a clip is cut into segments.

    Returns:
        waveforms, float32 ``(num_samples,)``, 16 kHz, of at most ``config.seconds``.

    Raises:
        ConfigError: a folder or corpus that is not there, or espeak-ng is wanted but missing.
    """
    clips = [*_corpus(training_rows(config))] if config.data else []
    for folder in config.folders:
        clips.extend(_folder(Path(folder)))
    clips.extend(_synthetic(config.synthetic_clips, config.synthetic_texts, config.seed))
    limit = round(config.seconds * SAMPLING_RATE)
    generator = random.Random(config.seed)
    return [
        segment
        for speed in config.speeds
        for clip in clips
        for whole in [_with_silence(_at_speed(clip, speed), config.silence_s, generator)]
        for segment in np.array_split(whole, -(-whole.size // limit))
    ]


def training_rows(config: Any) -> Dataset:
    """Open the training clips of a ``DistillConfig``; the audio column holds encoded bytes.

    Raises:
        ConfigError: no such corpus, configuration or fold.
    """
    try:
        splits = open_corpus(config.data, config.protocol)
    except Exception as error:  # datasets raises many kinds
        raise ConfigError(
            f"{config.data}: no corpus with configuration {config.protocol!r}"
        ) from error
    train = Selection.of(config).parts(splits)["train"]
    return train.cast_column("audio", Audio(decode=False))


def _corpus(rows: Dataset) -> Iterator[np.ndarray]:
    for index in range(len(rows)):
        yield load_audio(rows[index]["audio"])


def _folder(folder: Path) -> Iterator[np.ndarray]:
    files = [path for path in files_below(folder) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not files:
        raise ConfigError(f"{folder}: no audio files")
    with ExitStack() as stack:
        cleaned: Iterator[Any] = map(_cleaned, files)
        if len(files) > CHUNK:  # processes take seconds to start
            pool = ProcessPoolExecutor(mp_context=get_context("spawn"))
            cleaned = stack.enter_context(pool).map(_cleaned, files, chunksize=CHUNK)
        for clip in tqdm(cleaned, desc=folder.name, total=len(files)):
            if isinstance(clip, AudioError):
                tqdm.write(f"left out: {clip}")
            else:
                yield clip


def _cleaned(path: Path) -> np.ndarray | AudioError:
    try:
        return clean_audio(load_audio(path))
    except AudioError as error:
        return error


def _synthetic(count: int, texts: list[str], seed: int) -> Iterator[np.ndarray]:
    if count == 0:
        return
    if shutil.which("espeak-ng") is None:
        raise ConfigError("synthetic_clips needs the program espeak-ng")
    if not texts:
        raise ConfigError("synthetic_clips needs synthetic_texts to read from")
    sentences = [sentence for source in texts for sentence in _sentences(source)]
    generator = random.Random(seed)
    for _ in tqdm(range(count), desc="espeak-ng"):
        words = generator.choice(sentences).split()[:12]
        command = ["espeak-ng", "--stdout", "-v", generator.choice(VOICES)]
        command += ["-s", str(generator.randint(110, 240)), "-p", str(generator.randint(0, 99))]
        command += ["-a", str(generator.randint(40, 160)), "--", " ".join(words)]
        spoken = subprocess.run(command, capture_output=True)
        if spoken.returncode != 0:
            raise ConfigError(f"espeak-ng cannot speak: {spoken.stderr.decode().strip()[:200]}")
        try:
            yield clean_audio(load_audio(spoken.stdout))
        except AudioError:
            continue  # a comment of punctuation only is not spoken


def _sentences(source: str) -> list[str]:
    """The lines of a text file, or the training comments of GoEmotions."""
    if Path(source).suffix:
        return texts_for_vocabulary(None, [source])
    return read_texts(source, "train")


def _at_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """Resample a clip, which changes its speed and its pitch together."""
    if speed == 1.0 or waveform.size / speed < MIN_SECONDS * SAMPLING_RATE:
        return waveform
    return soxr.resample(waveform, SAMPLING_RATE * speed, SAMPLING_RATE).astype(np.float32)


def _with_silence(waveform: np.ndarray, most_s: float, generator: random.Random) -> np.ndarray:
    ends = [round(generator.uniform(0, most_s) * SAMPLING_RATE) for _ in range(2)]
    return np.pad(waveform, ends)

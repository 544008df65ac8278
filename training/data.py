"""The corpus as batches of waveforms, transcripts and labels."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Audio, ClassLabel, Dataset
from huggingface_hub import hf_hub_download

from corpus_builder.reading import open_corpus
from hub_model.audio import SAMPLING_RATE, load_audio
from training.companions import Companions
from training.config import ConfigError, TrainConfig

NEEDED_COLUMNS = ("audio", "label", "speaker_id", "transcript", "audio_hash", "corpus")


def load_splits(config: TrainConfig, labels: tuple[str, ...]) -> dict[str, Dataset]:
    """Open the train and validation parts of a corpus.

    Args:
        config: ``data`` names a folder or a Hub data set, ``protocol`` its configuration.
        labels: the emotions in the order of the model's ids.

    Returns:
        ``{"train", "validation"}``; the audio column holds encoded bytes.

    Raises:
        ConfigError: the corpus is not there, misses a column or a split, is empty, or holds other
            labels than the model.
    """
    try:
        splits = open_corpus(config.data, config.protocol)
    except Exception as error:  # datasets raises many kinds; each means "cannot be opened"
        detail = str(error).strip().splitlines()
        raise ConfigError(
            f"{config.data}: no corpus with configuration {config.protocol!r} could be opened "
            f"({detail[0][:200] if detail else type(error).__name__})"
        ) from error
    parts = {}
    for name in ("train", "validation"):
        if name not in splits:
            raise ConfigError(f"{config.data}: no {name} split in {config.protocol!r}")
        part = splits[name]
        missing = [column for column in NEEDED_COLUMNS if column not in part.column_names]
        if missing:
            raise ConfigError(f"{config.data}: no column {', '.join(missing)}")
        found = part.features["label"]
        if not isinstance(found, ClassLabel) or tuple(found.names) != labels:
            raise ConfigError(
                f"{config.data}: its labels are {getattr(found, 'names', found)}, "
                f"the model's are {list(labels)}"
            )
        if config.limit is not None:
            part = part.shuffle(seed=config.seed).select(range(min(config.limit, len(part))))
        if len(part) == 0:
            raise ConfigError(f"{config.data}: the {name} split is empty")
        parts[name] = part.cast_column("audio", Audio(decode=False))
    return parts


def corpus_cleaning(name: str) -> dict[str, Any] | None:
    """Return the settings with which a corpus of ours was cleaned; None for any other.

    Args:
        name: folder or Hub id.
    """
    try:
        if Path(name).is_dir():
            path = Path(name) / "build.json"
        else:
            path = Path(hf_hub_download(name, "build.json", repo_type="dataset"))
        return json.loads(path.read_text(encoding="utf-8"))["settings"]["cleaning"]
    except (OSError, ValueError, KeyError):
        return None


class Clips(torch.utils.data.Dataset):
    """Decodes one clip at a time: ``{"waveform", "transcript", "label"}``.

    Args:
        rows: one split of :func:`load_splits`.
        max_seconds: longer clips are cut to a random stretch; never cut when not given.
        augment: changes a waveform; nothing is changed when not given.
        companions: picks the sentence that a clip is shown with; its own when not given.
    """

    def __init__(
        self,
        rows: Dataset,
        *,
        max_seconds: float | None = None,
        augment: Callable[[np.ndarray], np.ndarray] | None = None,
        companions: Companions | None = None,
    ) -> None:
        self.rows = rows
        self.augment = augment
        self.companions = companions
        self.max_samples = None if max_seconds is None else round(max_seconds * SAMPLING_RATE)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        waveform = load_audio(row["audio"])
        if self.max_samples is not None and waveform.size > self.max_samples:
            start = int(torch.randint(waveform.size - self.max_samples + 1, ()))
            waveform = waveform[start : start + self.max_samples]
        if self.augment is not None:
            waveform = self.augment(waveform)
        label, transcript = row["label"], row["transcript"]
        if self.companions is not None:
            transcript = self.companions.pick(label, transcript)
        return {"waveform": waveform, "transcript": transcript, "label": label}


def collator(processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Return a function that turns clips into one padded batch with labels."""

    def collate(clips: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = dict(
            processor(
                audio=[clip["waveform"] for clip in clips],
                text=[clip["transcript"] for clip in clips],
            )
        )
        batch["labels"] = torch.tensor([clip["label"] for clip in clips])
        return batch

    return collate


def texts_for_vocabulary(rows: Dataset | None, files: list[str]) -> list[str]:
    """Collect the transcripts of the training split and the lines of some text files.

    Of a file with tabs only the first column is read, which is the text in GoEmotions.

    Raises:
        ConfigError: a file cannot be read.
    """
    texts = sorted({text for text in rows["transcript"] if text}) if rows is not None else []
    for name in files:
        try:
            lines = Path(name).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}: cannot be read (not UTF-8)") from error
        texts.extend(line.split("\t")[0] for line in lines)
    return texts


def speakers_and_fingerprint(rows: Dataset) -> tuple[list[str], str]:
    """Return the sorted speakers of a split, and a hash over its clips in a fixed order."""
    hashes = np.sort(np.asarray(rows["audio_hash"]))
    return sorted(set(rows["speaker_id"])), hashlib.sha256("\n".join(hashes).encode()).hexdigest()

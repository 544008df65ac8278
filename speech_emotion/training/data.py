"""The corpus as batches of waveforms, transcripts and labels."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Audio, ClassLabel, Dataset, Features, Value, concatenate_datasets
from huggingface_hub import hf_hub_download

from corpus_builder.reading import open_corpus
from hub_model.audio import SAMPLING_RATE, load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.training.folds import Selection
from speech_emotion.training.parsing import ConfigError
from speech_emotion.training.text_sampler import TextSampler

NEEDED_COLUMNS = ("audio", "label", "speaker_id", "transcript", "audio_hash", "corpus")


def load_splits(config: Any, labels: tuple[str, ...] | None = None) -> dict[str, Dataset]:
    """Open the parts of a corpus that a run needs.

    Args:
        config: ``data`` names a folder or a Hub data set, ``protocol`` its configuration; the
            fields of :class:`~speech_emotion.training.folds.Selection`, ``seed`` and ``limit`` are
            used as well.
        labels: those that the corpus must have, in the order of their ids; any when not given.

    Returns:
        ``train``; ``validation`` unless there is to be none; ``test`` when the run has a fold. The
        audio column holds encoded bytes.

    Raises:
        ConfigError: the corpus is not there, misses a column or a split, is empty, or holds other
            labels than the model; or it has no column that ``transcripts`` names.
    """
    splits = open_splits(config.data, config.protocol, labels)
    kind = getattr(config, "transcripts", "known")  # baselines read no text
    if kind != "known":
        splits = {name: _with_text(rows, kind, config.data) for name, rows in splits.items()}
    try:
        parts = Selection.of(config).parts(splits)
    except ConfigError as error:
        raise ConfigError(f"{config.data}: {error}") from error
    if config.limit is not None:
        for name, part in parts.items():
            kept = range(min(config.limit, len(part)))
            parts[name] = part.shuffle(seed=config.seed).select(kept)
            if not kept:
                raise ConfigError(f"{config.data}: the {name} split is empty")
    return {name: part.cast_column("audio", Audio(decode=False)) for name, part in parts.items()}


def _with_text(rows: Dataset, kind: str, data: str) -> Dataset:
    """Let the column ``transcript`` hold the text that ``transcripts`` of a config names."""
    heard = rows["whisper_transcript"][:] if "whisper_transcript" in rows.column_names else []
    if not any(heard):
        raise ConfigError(
            f"{data}: no transcripts by a transcriber; build the corpus with --transcripts whisper "
            "or both, or train with --transcripts known"
        )
    if kind == "whisper":
        return rows.remove_columns("transcript").rename_column("whisper_transcript", "transcript")
    heard = [known or text for known, text in zip(rows["transcript"][:], heard, strict=True)]
    text = Dataset.from_dict({"transcript": heard}, Features({"transcript": Value("string")}))
    return concatenate_datasets([rows.remove_columns("transcript"), text], axis=1)


def open_splits(
    data: str, protocol: str, labels: tuple[str, ...] | None = None
) -> dict[str, Dataset]:
    """Open every split of one configuration of a corpus, and check its columns.

    Raises:
        ConfigError: as :func:`load_splits`.
    """
    try:
        splits = open_corpus(data, protocol)
    except Exception as error:  # datasets raises many kinds; each means "cannot be opened"
        detail = str(error).strip().splitlines()
        raise ConfigError(
            f"{data}: no corpus with configuration {protocol!r} could be opened "
            f"({detail[0][:200] if detail else type(error).__name__})"
        ) from error
    for name in ("train", "validation"):
        if name not in splits:
            raise ConfigError(f"{data}: no {name} split in {protocol!r}")
    for part in splits.values():
        missing = [column for column in NEEDED_COLUMNS if column not in part.column_names]
        if missing:
            raise ConfigError(f"{data}: no column {', '.join(missing)}")
        found = part.features["label"]
        if not isinstance(found, ClassLabel):
            raise ConfigError(f"{data}: the column label is {found}, not a ClassLabel")
        names = tuple(found.names)
        if labels is None and sorted(names) == sorted(EMOTIONS):
            labels = EMOTIONS  # their order is the same everywhere
        if labels is not None and names != labels:
            raise ConfigError(
                f"{data}: its labels are {', '.join(names)}; they must be {', '.join(labels)}"
            )
    return dict(splits)


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
        max_seconds: longer clips are cut to a random segment; never cut when not given.
        augment: changes a waveform; nothing is changed when not given.
        text_sampler: picks the sentence with which a clip is shown; its own when not given.
        targets: of each clip, ids ``(clips,)`` or shares ``(clips, num_labels)``; its label when
            not given.
    """

    def __init__(
        self,
        rows: Dataset,
        *,
        max_seconds: float | None = None,
        augment: Callable[[np.ndarray], np.ndarray] | None = None,
        text_sampler: TextSampler | None = None,
        targets: torch.Tensor | None = None,
    ) -> None:
        self.rows = rows
        self.targets = targets
        self.augment = augment
        self.text_sampler = text_sampler
        self.max_samples = None if max_seconds is None else round(max_seconds * SAMPLING_RATE)

    def __len__(self) -> int:
        return len(self.rows)

    def waveform(self, row: dict[str, Any]) -> np.ndarray:
        """Return the samples of a row, cut if it is too long, before any change."""
        waveform = load_audio(row["audio"])
        if self.max_samples is not None and waveform.size > self.max_samples:
            start = int(torch.randint(waveform.size - self.max_samples + 1, ()))
            waveform = waveform[start : start + self.max_samples]
        return waveform

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
        waveform = self.waveform(row)
        if self.augment is not None:
            waveform = self.augment(waveform)
        label, transcript = row["label"], row["transcript"]
        if self.text_sampler is not None:
            transcript = self.text_sampler.pick(label, transcript)
        target = label if self.targets is None else self.targets[index]
        return {"waveform": waveform, "transcript": transcript, "label": target}


def collator(processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]:
    """Return a function that turns clips into one padded batch with labels."""

    def collate(clips: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = dict(
            processor(
                audio=[clip["waveform"] for clip in clips],
                text=[clip["transcript"] for clip in clips],
            )
        )
        batch["labels"] = stacked_labels(clips)
        return batch

    return collate


def stacked_labels(clips: list[dict[str, Any]]) -> torch.Tensor:
    """Return ids ``(clips,)``, or shares ``(clips, num_labels)`` where labels are soft."""
    return torch.stack([torch.as_tensor(clip["label"]) for clip in clips])


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

"""A corpus of tones in the columns of the real one, and models that train in a second."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from datasets import Dataset, Features
from transformers import WhisperConfig, WhisperModel

from corpus_builder.records import features
from hub_model.audio import audio_hash

AUDIO = {
    "model_type": "hubert",
    "conv_dim": [16] * 7,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_length": 2,
}
TEXT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}
MODEL = {"audio_config": AUDIO, "text_config": TEXT}

STILL_AUDIO = {
    **AUDIO,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
}
STILL_TEXT = {**TEXT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
STILL_MODEL = {
    "audio_config": STILL_AUDIO,
    "text_config": STILL_TEXT,
    "audio_dropout": 0.0,
    "text_dropout": 0.0,
    "text_modality_dropout": 0.0,
}
"""A model without anything random in training."""

SETTINGS = {
    "model": MODEL,
    "tokenizer": {"vocab_size": 100},
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "max_seconds": 0.25,
}

SENTENCES = ("Kids are talking by the door", "Dogs are sitting by the door", None)


def tone(pitch: float, *, seconds: float, seed: int = 0) -> np.ndarray:
    """Return a sine with a little noise: float32 ``(num_samples,)``, 16 kHz."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    noise = np.random.default_rng(seed).normal(0, 1e-2, time.size)
    return (0.3 * np.sin(2 * np.pi * pitch * time) + noise).astype(np.float32)


def flac(waveform: np.ndarray) -> bytes:
    """Encode at 16 kHz."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, 16_000, format="FLAC")
    return buffer.getvalue()


def rows(
    speakers: Iterable[int], *, labels: Iterable[int] = (0, 5), corpus: str = "ravdess"
) -> list[dict[str, Any]]:
    """Two clips of 0.3 s for each speaker and label; the label sets the pitch.

    There are three folds: the speaker's number modulo 3.
    """
    prefix = "toy" if corpus == "ravdess" else corpus
    made = []
    for speaker in speakers:
        for label in labels:
            for take in (0, 1):
                waveform = tone(200 + 150 * label + 5 * speaker, seconds=0.3, seed=speaker + take)
                name = f"{prefix}-{speaker:02d}-{label}-{take}"
                made.append(
                    {
                        "audio": {"bytes": flac(waveform), "path": f"{name}.flac"},
                        "label": label,
                        "corpus": corpus,
                        "speaker_id": f"{prefix}-{speaker:02d}",
                        "fold": speaker % 3,
                        "transcript": SENTENCES[(speaker + take) % len(SENTENCES)],
                        "duration": 0.3,
                        "utterance_id": name,
                        "source_id": name,
                        "audio_hash": audio_hash(waveform),
                    }
                )
    return made


def write_corpus(
    folder: Path,
    *,
    train: list[dict] | None = None,
    validation: list[dict] | None = None,
    test: list[dict] | None = None,
    columns: Features | None = None,
) -> Path:
    """Write 12 training and 4 validation clips, or the given rows, as ``load_dataset`` reads it."""
    columns = columns or features()
    splits = {
        "train": rows((1, 2, 3)) if train is None else train,
        "validation": rows((4,)) if validation is None else validation,
        "test": rows((5,)) if test is None else test,
    }
    names = ["speaker_disjoint", "paper", "natural"]
    configs = [{"config_name": name, "data_files": []} for name in names]
    for config in configs:
        for split, made in splits.items():
            file = f"{config['config_name']}/{split}-00000-of-00001.parquet"
            config["data_files"].append({"split": split, "path": file})
            content = {name: [row.get(name) for row in made] for name in columns}
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Dataset.from_dict(content, features=columns).to_parquet(folder / file)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    return folder


def write_whisper(folder: Path, *, layers: int = 2) -> Path:
    """Save a Whisper with random weights, the same every time."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=32,
        d_model=16,
        encoder_layers=layers,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    WhisperModel(config).save_pretrained(folder)
    return folder


def clips(count: int, *, seconds: float = 0.4) -> list[np.ndarray]:
    """Tones of different pitches and lengths."""
    return [tone(150 + 60 * i, seconds=seconds + 0.05 * i, seed=i) for i in range(count)]

"""Training on the cached vectors of frozen encoders.

Each clip and text is encoded once, its pooled vector is kept on disk, and only the head is trained.

A vector is found again by the hash of the encoded clip (which was cleaned when the corpus was
built) or of the text, and by that of the encoder with everything that decides its output, so that
runs, folds and seeds may share one folder.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from datasets import Dataset

from hub_model.calibration import DOUBT, class_mean_logits
from hub_model.encoders import encode_speech
from hub_model.modeling_hubert_bert import HubertBertForEmotion, masked_mean
from speech_emotion.predict.vector_cache import (
    VectorCache,
    clip_hash,
    module_hash,
    text_keys,
)
from speech_emotion.training.augment import at_speed, training_changes
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.data import Clips, stacked_labels
from speech_emotion.training.losses import training_targets
from speech_emotion.training.pooled import PooledModel
from speech_emotion.training.saving import state_folder
from speech_emotion.training.text_sampler import TextSampler


@dataclass(frozen=True)
class Head:
    """The model and the clips that are trained on in the place of the whole model and its audio.

    Attributes:
        model: shares its weights with ``whole``.
        clips: ``train`` and, if there is one, ``validation``.
    """

    whole: HubertBertForEmotion
    model: PooledModel
    clips: dict[str, "PooledClips"]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights of the whole model."""
        return self.whole.state_dict()

    @torch.no_grad()
    def class_mean_logits(self) -> list[list[float]] | None:
        """Average the audio-only logits of the training clips of each emotion, for ``adapt``.

        A clip counts as in the loss. ``None`` when an emotion has no clip.
        """
        clips = self.clips["train"]
        # The logits are linear in the vector, so those of its mean are the mean over the copies.
        audio = torch.from_numpy(np.stack([copies.mean(axis=0) for copies in clips.audio]))
        training = self.model.training
        logits = self.model.eval()(input_values=audio).logits.float().numpy()
        self.model.train(training)
        targets = torch.as_tensor(clips.targets)
        weights = targets.clamp(min=0).sum(dim=1).numpy() if targets.ndim == 2 else None
        return class_mean_logits(clips.labels, logits, weights=weights)


class PooledClips(torch.utils.data.Dataset):
    """Clips as pooled vectors: ``{"audio", "text", "label"}``; ``text`` is ``None`` without one.

    Args:
        rows: of a split.
        audio: for each row its vectors, one for each augmented copy.
        texts: vector of every text that may be shown; empty for an audio-only model.
        text_sampler: picks the sentence with which a clip is shown; its own when not given.
        targets: as for :class:`~speech_emotion.training.data.Clips`.
        voice_copies: probability that a clip is shown without the offset of its speaker.
    """

    def __init__(
        self,
        rows: Dataset,
        audio: list[np.ndarray],
        texts: dict[str, np.ndarray],
        *,
        text_sampler: TextSampler | None = None,
        targets: torch.Tensor | None = None,
        voice_copies: float = 0.0,
    ) -> None:
        self.labels, self.transcripts = rows["label"][:], rows["transcript"][:]
        self.voice_copies = voice_copies
        self.offsets = speaker_offsets(audio, rows["speaker_id"][:]) if voice_copies else []
        self.targets = self.labels if targets is None else targets
        self.audio, self.texts, self.text_sampler = audio, texts, text_sampler

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        copies = self.audio[index]
        chosen = int(torch.randint(len(copies), ())) if len(copies) > 1 else 0
        vector = copies[chosen]
        if self.voice_copies and float(torch.rand(())) < self.voice_copies:
            vector = vector - self.offsets[index]
        text = self.transcripts[index]
        if self.text_sampler is not None:
            text = self.text_sampler.pick(self.labels[index], text)
        return {
            "audio": vector,
            "text": self.texts.get(_stripped(text)),
            "label": self.targets[index],
        }


def speaker_offsets(audio: list[np.ndarray], speakers: list[str]) -> list[np.ndarray]:
    """Return for each clip how far the mean vector of its speaker lies from that of all clips.

    After a linear classifier this offset is a constant that is added to the logits of all clips of
    the speaker; :meth:`~hub_model.calibration.Fitting.adapt` takes it away. A classifier
    that was trained with and without it needs it less. Of the offset of ``n`` clips
    ``n / (n + DOUBT)`` is used, as in ``adapt``.

    Args:
        audio: for each clip its vectors, ``(copies, ...)``.
        speakers: of each clip.
    """
    means = np.stack([copies.mean(axis=0) for copies in audio])
    names = np.asarray(speakers)
    offsets = {}
    for name in sorted(set(speakers)):
        own = means[names == name]
        shrink = len(own) / (len(own) + DOUBT)
        offsets[name] = (shrink * (own.mean(axis=0) - means.mean(axis=0))).astype(means.dtype)
    return [offsets[name] for name in speakers]


def collate_pooled(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Turn :class:`PooledClips` into one batch for :class:`.pooled.PooledModel`."""
    batch: dict[str, Any] = {
        "input_values": torch.from_numpy(np.stack([c["audio"] for c in clips]))
    }
    texts = [clip["text"] for clip in clips]
    known = [text for text in texts if text is not None]
    if known:
        nothing = np.zeros_like(known[0])
        filled = [nothing if text is None else text for text in texts]
        batch["input_ids"] = torch.from_numpy(np.stack(filled))
        batch["text_attention_mask"] = torch.tensor([[int(text is not None)] for text in texts])
    batch["labels"] = stacked_labels(clips)
    return batch


def make_head(
    config: TrainConfig,
    model: HubertBertForEmotion,
    processor: Any,
    parts: dict[str, Dataset],
    accelerator: Any,
) -> Head | None:
    """Encode every clip and text with the frozen encoders, once.

    A clip longer than ``max_seconds`` is cut once here, and not anew in every epoch.

    Args:
        parts: ``train`` and, if there is one, ``validation``.

    Returns:
        ``None`` when the encoders are needed in every epoch: they are trained, or clips are
        augmented on the fly.

    Raises:
        ConfigError: ``standardize`` or one of the ``..._copies`` is set, and the encoders are
            needed.
        CacheError: the vectors cannot be read or written.
        AudioError: a clip cannot be decoded.
    """
    reason = _why_not(config, model)
    if reason:
        for name in ("standardize", "augment_copies", "speed_copies", "voice_copies"):
            if getattr(config, name):
                raise ConfigError(f"{name} needs vectors that do not change, and {reason}")
        return None
    root = Path(config.feature_cache or state_folder(config.output_dir) / "features")
    text_sampler = TextSampler.from_settings(
        config.text_pairs, parts["train"].features["label"].names
    )
    model.eval().to(accelerator.device)
    encode = _Encoder(model, processor, accelerator)
    keys = {name: _clip_keys(config, part, train=name == "train") for name, part in parts.items()}
    audio = VectorCache(root / f"audio-{encode.audio_hash()}")
    for name, part in parts.items():
        training = name == "train"
        clips = Clips(
            part,
            max_seconds=config.max_seconds if training else None,
            augment=training_changes(config) if training else None,
        )
        audio.fill(
            {
                key: (index, speed)
                for index, copies in enumerate(keys[name])
                for key, speed in copies.items()
            },
            lambda key, copy, clips=clips: _seeded_waveform(key, *copy, clips),  # type: ignore[misc,call-arg]
            encode.audio,
            size=len,
            batch_size=config.per_device_eval_batch_size,
            accelerator=accelerator,
            what=f"speech vectors, {name}",
        )
    texts = _text_vectors(config, root, encode, parts, text_sampler, accelerator)
    model.to("cpu")
    pooled = {
        name: PooledClips(
            part,
            [np.stack([audio[key] for key in copies]) for copies in keys[name]],
            texts,
            text_sampler=text_sampler if name == "train" else None,
            targets=training_targets(config, part) if name == "train" else None,
            voice_copies=config.voice_copies if name == "train" else 0.0,
        )
        for name, part in parts.items()
    }
    head = PooledModel.of(model)
    if config.standardize and not config.init_from:
        model.set_feature_statistics(*_statistics(head, pooled["train"]))
    return Head(model, head, pooled)


def _why_not(config: TrainConfig, model: HubertBertForEmotion) -> str | None:
    """The reason why the encoders must run in every epoch; ``None`` when they need not."""
    for name in ("audio_model", "text_model"):
        part = getattr(model, name, None)
        if part is not None and any(weight.requires_grad for weight in part.parameters()):
            return f"the {name} is trained"
    if (config.augment or config.poor_recordings) and not config.augment_copies:
        return "clips are augmented on the fly"
    if model.config.use_weighted_layer_sum and model.config.audio_pooling != "mean":
        return "the deviation of a weighted sum of layers changes with the weights"
    return None


class _Encoder:
    """The frozen encoders of a model, on batches of waveforms or of texts."""

    def __init__(self, model: HubertBertForEmotion, processor: Any, accelerator: Any) -> None:
        self.model, self.processor, self.accelerator = model, processor, accelerator

    def audio_hash(self) -> str:
        config = self.model.config
        return module_hash(
            self.model.audio_model,
            config.audio_config.to_dict(),
            config.audio_pooling,
            config.use_weighted_layer_sum,
            config.concatenate_layers,
            self.processor.feature_extractor.to_dict(),
            self.accelerator.mixed_precision,
        )

    def text_hash(self) -> str:
        tokenizer = self.processor.tokenizer
        return module_hash(
            self.model.text_model,
            self.model.config.text_config.to_dict(),
            sorted(tokenizer.get_vocab().items()),
            tokenizer.init_kwargs,
            tokenizer.model_max_length,
            self.accelerator.mixed_precision,
        )

    @torch.no_grad()
    def audio(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Return ``(clips, audio_embedding_size)``, or one row a layer where layers are weighed."""
        batch = self._on_device(self.processor(audio=waveforms))
        with self.accelerator.autocast():
            if not self.model.config.use_weighted_layer_sum:
                return self.model(**batch).audio_embedding.float().cpu().numpy()
            sound = batch.get("input_values", batch.get("input_features"))
            states, frames = encode_speech(
                self.model.audio_model, sound, batch["attention_mask"], all_layers=True
            )
            means = [masked_mean(state, frames) for state in states]
        return torch.stack(means, dim=1).float().cpu().numpy()

    @torch.no_grad()
    def text(self, texts: list[str]) -> np.ndarray:
        """Return ``(texts, text_embedding_size)``."""
        batch = self._on_device(self.processor(text=texts))
        with self.accelerator.autocast():
            return self.model(**batch).text_embedding.float().cpu().numpy()

    def _on_device(self, batch: Any) -> dict[str, torch.Tensor]:
        return {name: value.to(self.accelerator.device) for name, value in batch.items()}


def _clip_keys(config: TrainConfig, rows: Dataset, *, train: bool) -> list[dict[str, float | None]]:
    """The vectors of each clip, one or several copies: the key of each, and its speed.

    Copies at a speed are not augmented; the others have no speed.
    """
    lengths = rows["duration"][:] if "duration" in rows.column_names else [None] * len(rows)
    keys: list[dict[str, float | None]] = []
    for audio, seconds in zip(rows["audio"], lengths, strict=True):
        key = clip = clip_hash(audio)
        if train and (config.augment_copies or seconds is None or seconds > config.max_seconds):
            key += f" {config.max_seconds} {config.augment} {config.seed}"
            if config.poor_recordings:
                key += f" {config.poor_recordings} {config.model.get('cleaning')}"
        copies = config.augment_copies if train else 0
        own: dict[str, float | None] = {f"{key} {copy}": None for copy in range(copies)}
        own = own or {key: None}
        if train:
            at = f"{clip} {config.max_seconds} {config.seed} at"
            own |= {f"{at} {speed}": speed for speed in config.speed_copies}
        keys.append(own)
    return keys


def _seeded_waveform(key: str, index: int, speed: float | None, clips: Clips) -> np.ndarray:
    """Cut and change a clip so that the same key always gives the same samples."""
    with _seeded(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)):
        if speed is None:
            return clips[index]["waveform"]
        return at_speed(clips.waveform(clips.rows[index]), speed)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed every random number generator, and restore them afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        set_seed(seed)
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def _stripped(text: str | None) -> str:
    return (text or "").strip()


def _text_vectors(
    config: TrainConfig,
    root: Path,
    encode: _Encoder,
    parts: dict[str, Dataset],
    text_sampler: TextSampler | None,
    accelerator: Any,
) -> dict[str, np.ndarray]:
    """Vectors of every text in training and validation."""
    if not encode.model.config.use_text:
        return {}
    texts = {_stripped(text) for part in parts.values() for text in part["transcript"][:]}
    if text_sampler is not None:
        texts |= {_stripped(text) for text in text_sampler.texts}
    sources = text_keys(sorted(texts - {""}))
    store = VectorCache(root / f"text-{encode.text_hash()}")
    store.fill(
        sources,
        lambda _, text: text,
        encode.text,
        size=len,
        batch_size=8 * config.per_device_eval_batch_size,
        accelerator=accelerator,
        what="text vectors",
    )
    return {text: store[key] for key, text in sources.items()}


def _statistics(head: PooledModel, clips: PooledClips) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of what the classifier reads, over training clips and their texts."""
    audio = np.concatenate(clips.audio)
    if audio.ndim == 3:
        audio = audio.mean(axis=1)  # as the layers are weighed at the start
    shown = {_stripped(text) for text in clips.transcripts}
    if clips.text_sampler is not None:
        shown |= {_stripped(text) for text in clips.text_sampler.texts}
    texts = [clips.texts[text] for text in sorted(shown) if text in clips.texts]
    text = np.stack(texts) if texts else np.zeros((1, head.config.text_embedding_size))
    means = [values.mean(axis=0, dtype=np.float64) for values in (audio, text)]
    stds = [values.std(axis=0, dtype=np.float64) for values in (audio, text)]
    return tuple(torch.from_numpy(np.concatenate(found)).float() for found in (means, stds))

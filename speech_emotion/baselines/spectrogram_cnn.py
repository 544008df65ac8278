"""MobileNetV2 on spectrogram images: the four experiments of section III-C.1.

| experiment | blocks | classes |
| --- | --- | --- |
| 1.1 | overlapping | emotion and gender, 14 |
| 1.2 | overlapping | emotion, 7 |
| 1.3 | one after another | emotion and gender, 14 |
| 1.4 | one after another | emotion, 7 (the best one, in Table 8) |
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_file
from torch import nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from hub_model.audio import AudioError
from hub_model.labels import EMOTIONS
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips
from speech_emotion.baselines.cnn1d import WEIGHTS, save
from speech_emotion.baselines.neural import Blocks, clip_probabilities, logits_of
from speech_emotion.baselines.spectrograms import COLUMNS, IMAGE_VERSION, JET, ROWS, levels

__all__ = ["MobileNetBaseline", "SpectrogramCnn", "description", "load", "new_model", "save"]

GENDERS = ("female", "male")
BATCH_NORM_MOMENTUM = 0.1


class SpectrogramCnn(nn.Module):
    """MobileNetV2 that applies the colours itself, so that an image takes a third of the space.

    Args:
        config: of the network; ``num_labels`` is 7 or 14.
    """

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.network = MobileNetV2ForImageClassification(config)
        # -1..1, the range of its pretraining; constant, so not saved with the weights.
        colours = torch.from_numpy(JET).float() / 127.5 - 1
        self.register_buffer("colours", colours, persistent=False)

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of uint8 levels (batch, 257, 251)."""
        # A lookup puts the channels last in memory, the faster layout for convolutions on a CPU.
        pixels = nn.functional.embedding(levels.int(), self.colours).permute(0, 3, 1, 2)
        return self.network(pixel_values=pixels).logits


def new_model(
    *,
    pretrained: str = "",
    model: dict[str, Any] | None = None,
    gender: bool = False,
    dropout: float = 0.2,
) -> tuple[SpectrogramCnn, dict[str, Any]]:
    """The pretrained network with a new head, or one with random weights.

    Args:
        pretrained: id or folder of an image classifier; random weights when it cannot be found,
            or when empty.
        model: arguments of ``MobileNetV2Config`` for random weights.
        gender: 14 classes, emotion and gender, instead of 7.
        dropout: before the classifier.

    Returns:
        The network; and which weights it starts from, for config.json and the results.

    Raises:
        BaselineError: ``model`` has a key that is unknown or refused.
    """
    settings = model or {}
    head = {
        "num_labels": len(EMOTIONS) * (len(GENDERS) if gender else 1),
        "classifier_dropout_prob": dropout,
    }
    start: dict[str, Any] = {"weights": "random"}
    network = None
    if pretrained:
        try:
            network = MobileNetV2ForImageClassification.from_pretrained(
                pretrained, ignore_mismatched_sizes=True, dtype=torch.float32, **head
            )
            start = {"weights": "pretrained", "from": pretrained}
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            start |= {"not_found": pretrained, "reason": reason}
    if network is None:
        known = MobileNetV2Config()
        unknown = [key for key in settings if not hasattr(known, key)]
        if unknown:
            raise BaselineError(f"model: unknown key {', '.join(unknown)}")
        try:
            network_config = MobileNetV2Config(**settings, **head)
        except Exception as error:  # the config validates itself and raises errors of many types
            raise BaselineError(f"model: {str(error).splitlines()[0]}") from error
        cnn = SpectrogramCnn(network_config)
    else:
        cnn = SpectrogramCnn(network.config)
        cnn.network = network
    for module in cnn.modules():
        if isinstance(module, nn.BatchNorm2d):
            # transformers keeps TensorFlow's 0.997; torch defines momentum the other way round, so
            # the running statistics would be those of the last batch.
            module.momentum = BATCH_NORM_MOMENTUM
    return cnn.to(memory_format=torch.channels_last), start


def drawn(rows: Dataset, *, share: float, seed: int) -> Dataset:
    """A random share of the clips of each emotion, at least one of each."""
    if share == 1:
        return rows
    labels = np.asarray(rows["label"][:])
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    parts = [shuffled[labels[shuffled] == label] for label in np.unique(labels)]
    kept = np.concatenate([part[: max(1, round(share * len(part)))] for part in parts])
    return rows.select(np.sort(kept))


def to_blocks(clips: Clips[int], levels: np.ndarray, *, gender: bool) -> Blocks:
    """The blocks of a split with their classes.

    Args:
        clips: the clips with their numbers of blocks.
        levels: uint8 (all blocks, 257, 251).
        gender: class 2 x emotion + gender instead of the emotion.

    Raises:
        BaselineError: a clip has no gender where gender is asked for.
    """
    classes = clips.labels
    if gender:
        genders = clips.rows["gender"][:]
        unknown = sum(name not in GENDERS for name in genders)
        if unknown:
            raise BaselineError(
                f"{unknown} clips are neither female nor male, which experiments 1.1 and 1.3 need"
            )
        classes = classes * len(GENDERS) + np.asarray([GENDERS.index(name) for name in genders])
    return Blocks(
        inputs=levels,
        targets=np.repeat(classes, clips.values),
        clips=np.repeat(np.arange(len(classes)), clips.values),
        labels=clips.labels,
    )


def description(
    model: SpectrogramCnn, start: dict[str, Any], *, gender: bool, decision_shift: float
) -> dict[str, Any]:
    """The content of config.json, for :func:`load`.

    Args:
        model: the network.
        start: the weights it started from, see :func:`new_model`.
        gender: whether its classes are emotion and gender.
        decision_shift: seconds between the starts of blocks when a clip is classified.
    """
    return {
        "family": "mobilenet_v2",
        "image_version": IMAGE_VERSION,
        "image_shape": [ROWS, COLUMNS, JET.shape[1]],
        "labels": list(EMOTIONS),
        "genders": list(GENDERS) if gender else None,
        "decision_shift": decision_shift,
        "initialisation": start,
        "model": model.network.config.to_diff_dict(),
    }


@dataclass(frozen=True, kw_only=True)
class MobileNetBaseline:
    """A trained network; see :class:`baselines.Baseline`."""

    config: dict[str, Any]
    model: SpectrogramCnn

    def predict_proba(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Probabilities of the seven emotions, float64 (num_waveforms, 7).

        Raises:
            AudioError: a waveform is shorter than a block of 1 s.
        """
        found = []
        for number, waveform in enumerate(waveforms):
            try:
                inputs = levels(waveform, shift=self.config["decision_shift"])
            except AudioError as error:
                raise AudioError(f"clip {number}: {error}") from error
            clips = np.zeros(len(inputs), dtype=int)
            found.append(clip_probabilities(logits_of(self.model, inputs), clips))
        return np.concatenate(found)


def load(folder: Path, config: dict[str, Any]) -> MobileNetBaseline:
    """Load a saved baseline; see :func:`baselines.load`."""
    if config.get("image_version") != IMAGE_VERSION:
        raise BaselineError(
            f"{folder}: trained on images of version {config.get('image_version')}, this code "
            f"makes version {IMAGE_VERSION}; train it again"
        )
    model = SpectrogramCnn(MobileNetV2Config.from_dict(config["model"]))
    model.load_state_dict(load_file(folder / WEIGHTS))
    model = model.to(memory_format=torch.channels_last)
    return MobileNetBaseline(config=config, model=model.eval())

"""The settings of each family of rows, read from YAML as those of the main model are."""

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from speech_emotion.baselines import FAMILIES
from speech_emotion.training.config import ConfigError, check_choices


@dataclass(kw_only=True)
class RowConfig:
    """What every row has.

    Args:
        family: one of :data:`baselines.FAMILIES`.
        data: corpus folder or Hub data set id.
        out: folder of the trained row.
        protocol: configuration of the corpus: ``speaker_disjoint`` or ``paper``.
        cache: folder in which features and images are kept between runs.
        allow_missing: train although some emotion has no training clip; it is then never answered.
        seed: of everything random.
        limit: use only this many clips of each split; for a smoke run.
    """

    family: str = ""
    data: str = ""
    out: str = ""
    protocol: str = "speaker_disjoint"
    cache: str = "runs/cache"
    allow_missing: bool = False
    seed: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        check_choices(self, family=tuple(FAMILIES), protocol=("speaker_disjoint", "paper"))
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, not {self.limit}")
        if self.seed < 0:
            raise ConfigError("seed must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(kw_only=True)
class ClassicalConfig(RowConfig):
    """A classifier on the 94 features (paper, section III-B).

    Args:
        classifier: a name in :data:`speech_emotion.baselines.classical.CLASSIFIERS`.
        params: arguments of the classifier other than the library's own.
        grid: lists of values of such arguments: a grid search with cross-validation finds the
            best, and the classifier is fitted with them on all of train.
        folds: of the cross-validation: by speaker under ``speaker_disjoint``, stratified under
            ``paper``.
    """

    family: str = "classical"
    classifier: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, Any] = field(default_factory=dict)
    folds: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds < 2:
            raise ConfigError(f"folds must be at least 2, not {self.folds}")
        wrong = [name for name, values in self.grid.items() if not isinstance(values, list)]
        if wrong:
            raise ConfigError(f"grid: {', '.join(wrong)} must be a list of values")


@dataclass(kw_only=True)
class NeuralConfig(RowConfig):
    """What both neural rows have. The paper gives the epochs of the 1-D CNN and no more.

    Args:
        epochs: at most this many.
        patience: stop after this many epochs without a better UA + WA on validation; 0 never.
            The best epoch is kept in either case.
        batch_size: inputs in one step.
        learning_rate: of Adam.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        resume: go on from the last finished epoch when its state is there.
    """

    epochs: int = 10
    patience: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    mixed_precision: str = "no"
    resume: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate <= 0 or self.patience < 0:
            raise ConfigError("learning_rate must be positive and patience not negative")
        check_choices(self, mixed_precision=("no", "bf16", "fp16"))


@dataclass(kw_only=True)
class MobileNetConfig(NeuralConfig):
    """MobileNetV2 on spectrogram images (paper, section III-C.1).

    Args:
        pretrained: id or folder of an image classifier to start from; random weights when it
            cannot be found. Empty starts from random weights at once.
        model: arguments of ``MobileNetV2Config`` for a start from random weights.
        block_shift: seconds from the start of one block of 1 s to that of the next: 1 without
            overlap; 0.01 in the paper's experiments with "overlapping windows of 10ms".
        decision_shift: the same when a clip is answered; ``block_shift`` when not given.
        clips_share: share of the training clips that is used. The paper took fewer files for the
            overlapping blocks, "the number of images [...] would have been very high" otherwise.
        gender: learn 14 classes, emotion and gender, folded back to seven for the answer.
        dropout: before the classifier.
    """

    family: str = "mobilenet_v2"
    pretrained: str = "google/mobilenet_v2_1.0_224"
    model: dict[str, Any] = field(default_factory=dict)
    block_shift: float = 1.0
    decision_shift: float | None = None
    clips_share: float = 1.0
    gender: bool = False
    dropout: float = 0.2
    patience: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("block_shift", "decision_shift"):
            shift = getattr(self, name)
            if shift is not None and not 0.001 <= shift <= 1:
                raise ConfigError(f"{name} must be 0.001 to 1, not {shift}")
        if not 0 < self.clips_share <= 1 or not 0 <= self.dropout < 1:
            raise ConfigError("clips_share must be above 0 and up to 1, dropout 0 to below 1")

    @property
    def answer_shift(self) -> float:
        """Seconds between the starts of blocks when a clip is answered."""
        return self.block_shift if self.decision_shift is None else self.decision_shift


@dataclass(kw_only=True)
class Cnn1dConfig(NeuralConfig):
    """The 1-D CNN of Table 5, on the 94 features of every frame.

    Args:
        seconds: length of the input; shorter clips are filled up, longer ones cut at both ends.
        dense: widths of the two hidden dense layers, which the table leaves open.
        dropout: of all three dropout layers.
        l1, l2: weights of the sums of absolute and of squared kernel values in the loss.
    """

    family: str = "cnn1d"
    seconds: float = 3.0
    dense: list[int] = field(default_factory=lambda: [128, 64])
    dropout: float = 0.6
    l1: float = 1e-6
    l2: float = 1e-5
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.1 <= self.seconds <= 60 or not 0 <= self.dropout < 1:
            raise ConfigError("seconds must be 0.1 to 60, dropout 0 to below 1")
        if self.l1 < 0 or self.l2 < 0:
            raise ConfigError("l1 and l2 must not be negative")
        if len(self.dense) != 2 or any(type(n) is not int or n < 1 for n in self.dense):
            raise ConfigError(f"dense must be two widths, not {self.dense}")


CONFIGS = {"classical": ClassicalConfig, "mobilenet_v2": MobileNetConfig, "cnn1d": Cnn1dConfig}


def family_of(arguments: list[str] | None = None) -> str | None:
    """The ``family`` of the file that a command line names with ``--config``.

    Returns:
        None when there is no such file or key: then it is the main model, or the mistake is told
        by whoever reads the whole file.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    try:
        path = parser.parse_known_args(arguments)[0].config
        values = yaml.safe_load(path.read_text(encoding="utf-8")) if path else None
    except (argparse.ArgumentError, OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    family = values.get("family") if isinstance(values, dict) else None
    return None if family is None else str(family)

"""Settings of each family of baselines."""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from speech_emotion.baselines import FAMILIES
from speech_emotion.training.config import EpochConfig
from speech_emotion.training.parsing import ConfigError, check_choices, option, read_config


@dataclass(kw_only=True)
class BaselineConfig:
    """Settings of every baseline."""

    family: str = option("", f"family of the baseline: {', '.join(FAMILIES)}")
    data: str = option("", "corpus: a folder, or the id of a data set on the Hub")
    output_dir: str = option("", "folder of the trained baseline")
    protocol: Literal["speaker_disjoint", "paper"] = option(
        "speaker_disjoint", "configuration of the corpus"
    )
    cache: str = option("runs/cache", "folder of features and images, kept between runs")
    allow_missing: bool = option(
        False, "train although an emotion has no training clip; it is then never predicted"
    )
    seed: int = option(0, "seed of every random number generator")
    limit: int | None = option(None, "use only so many clips of each split, for a quick check")

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ConfigError(f"family must be {' or '.join(FAMILIES)}, not {self.family!r}")
        check_choices(self)
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, not {self.limit}")
        if self.seed < 0:
            raise ConfigError("seed must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(kw_only=True)
class ClassicalConfig(BaselineConfig):
    """Settings of a classifier on the 94 features (paper, section III-B)."""

    family: str = option("classical", "family of the baseline")
    classifier: str = option("", "a name in speech_emotion.baselines.classical.CLASSIFIERS")
    params: dict[str, Any] = option(
        {}, "arguments of the classifier that differ from the defaults of its library"
    )
    grid: dict[str, Any] = option(
        {},
        "lists of values of such arguments: a grid search with cross-validation finds the best, "
        "with which the classifier is fitted on all training clips",
    )
    folds: int = option(
        5, "folds of the grid search: by speaker under speaker_disjoint, stratified under paper"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds < 2:
            raise ConfigError(f"folds must be at least 2, not {self.folds}")
        wrong = [name for name, values in self.grid.items() if not isinstance(values, list)]
        if wrong:
            raise ConfigError(f"grid: {', '.join(wrong)} must be a list of values")


@dataclass(kw_only=True)
class NeuralConfig(EpochConfig, BaselineConfig):
    """Settings of both neural baselines. The paper gives the epochs of the 1-D CNN and no more."""

    num_train_epochs: int = option(10, "epochs, at most; the best one is kept")
    per_device_train_batch_size: int = option(32, "inputs in a batch of each process")
    per_device_eval_batch_size: int = option(32, "validation inputs in a batch of each process")
    gradient_accumulation_steps: int = option(1, "batches of one optimiser step")
    learning_rate: float = option(1e-3, "highest learning rate of Adam")
    weight_decay: float = option(0.0, "weight decay of Adam")
    lr_scheduler_type: Literal["linear", "constant_with_warmup"] = option(
        "constant_with_warmup", "learning rate after the warm-up: falling to zero, or constant"
    )
    warmup_steps: int = option(0, "optimiser steps in which the learning rate rises from zero")
    max_grad_norm: float = option(0.0, "clip gradients to this norm; 0 turns it off")

    def __post_init__(self) -> None:
        EpochConfig.__post_init__(self)
        BaselineConfig.__post_init__(self)
        if self.per_device_train_batch_size < 2:
            raise ConfigError(
                "per_device_train_batch_size must be at least 2: batch norm needs two inputs"
            )


@dataclass(kw_only=True)
class MobileNetConfig(NeuralConfig):
    """Settings of MobileNetV2 on spectrogram images (paper, section III-C.1)."""

    family: str = option("mobilenet_v2", "family of the baseline")
    pretrained: str = option(
        "google/mobilenet_v2_1.0_224",
        "id or folder of an image classifier to start from; random weights when it is not found, "
        "or when empty",
    )
    model: dict[str, Any] = option({}, "arguments of MobileNetV2Config for random weights")
    block_shift: float = option(
        1.0,
        "seconds from the start of a block of 1 s to the start of the next: 1 without overlap, "
        '0.01 in the paper\'s experiments with "overlapping windows of 10ms"',
    )
    decision_shift: float | None = option(
        None, "the same when a clip is classified; block_shift when not given"
    )
    clips_share: float = option(
        1.0,
        "share of the training clips that is used; the paper took fewer files for overlapping "
        'blocks, as "the number of images [...] would have been very high" otherwise',
    )
    gender: bool = option(
        False, "train on 14 classes, emotion and gender, which are summed to seven emotions"
    )
    dropout: float = option(0.2, "dropout before the classifier")
    patience: int = option(3, "stop after so many epochs without a better one; 0 never stops")

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
        """Seconds between the starts of blocks when a clip is classified."""
        return self.block_shift if self.decision_shift is None else self.decision_shift


@dataclass(kw_only=True)
class Cnn1dConfig(NeuralConfig):
    """Settings of the 1-D CNN of Table 5, on the 94 features of every frame."""

    family: str = option("cnn1d", "family of the baseline")
    seconds: float = option(
        3.0, "length of the input; shorter clips are padded, longer ones cut at both ends"
    )
    dense: list[int] = option(
        [128, 64], "widths of the two hidden dense layers, which the table leaves open"
    )
    dropout: float = option(0.6, "dropout of all three dropout layers")
    l1: float = option(1e-6, "weight of the sum of absolute kernel values in the loss")
    l2: float = option(1e-5, "weight of the sum of squared kernel values in the loss")
    learning_rate: float = option(5e-4, "highest learning rate of Adam")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.1 <= self.seconds <= 60 or not 0 <= self.dropout < 1:
            raise ConfigError("seconds must be 0.1 to 60, dropout 0 to below 1")
        if self.l1 < 0 or self.l2 < 0:
            raise ConfigError("l1 and l2 must not be negative")
        if len(self.dense) != 2 or any(type(n) is not int or n < 1 for n in self.dense):
            raise ConfigError(f"dense must be two widths, not {self.dense}")


CONFIGS: dict[str, type[BaselineConfig]] = {
    "classical": ClassicalConfig,
    "mobilenet_v2": MobileNetConfig,
    "cnn1d": Cnn1dConfig,
}
"""Settings of each family."""


def family_of(arguments: list[str] | None = None) -> str | None:
    """Return the family of baselines that a command line trains; ``None`` for the main model.

    It is that of ``--family``, or of the file that ``--config`` names.

    Raises:
        ConfigError: there is no such family, or the file cannot be read.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--family")
    try:
        given = parser.parse_known_args(arguments)[0]
    except argparse.ArgumentError:  # told by the parser of the whole command line
        return None
    family = given.family
    if family is None and given.config is not None:
        family = read_config(given.config).get("family")
    if family is not None and family not in CONFIGS:
        raise ConfigError(f"family must be {' or '.join(CONFIGS)}, not {family!r}")
    return family

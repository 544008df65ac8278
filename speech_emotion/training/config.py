"""Settings of a training run. Defaults are the paper's Table 7."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from speech_emotion.training.parsing import ConfigError, check_choices, option

__all__ = ["UNFREEZE", "ConfigError", "EpochConfig", "FitConfig", "TrainConfig"]

UNFREEZE = {
    "head": ("audio_model", "text_model"),
    "top2_conv": ("audio_model", "text_model"),
    "partial": ("audio_model.feature_extractor",),
    "entire": (),
}
"""Parts of the model that each value of ``unfreeze`` freezes (paper, Figure 7 and section III-D.1).
Of ``top2_conv``, the last two convolutions are trained all the same."""


TASK_WEIGHT = 0.3
"""Weight of the loss of a further head, that of the emotion being 1."""


@dataclass(kw_only=True)
class FitConfig:
    """Settings of every run of :func:`~speech_emotion.training.fit.fit`."""

    data: str = option("", "corpus: a folder, or the id of a data set on the Hub")
    output_dir: str = option(
        "", "folder of the trained model; the state for --resume is kept in OUTPUT_DIR.state"
    )
    per_device_train_batch_size: int = option(4, "training examples in a batch of each process")
    learning_rate: float = option(5e-5, "highest learning rate")
    weight_decay: float = option(0.01, "weight decay of the optimiser")
    lr_scheduler_type: Literal["linear", "constant_with_warmup"] = option(
        "linear", "learning rate after the warm-up: falling to zero, or constant"
    )
    warmup_steps: int = option(500, "optimiser steps in which the learning rate rises from zero")
    max_grad_norm: float = option(1.0, "clip gradients to this norm; 0 turns it off")
    mixed_precision: Literal["no", "bf16", "fp16", "auto"] = option(
        "no",
        "precision of forward and backward passes; fp16 needs a GPU; auto: bf16 where the GPU or "
        "the processor has instructions for it, otherwise no",
    )
    report_to: Literal["none", "tensorboard"] = option(
        "none", "tracker; tensorboard writes curves into OUTPUT_DIR.state/logs"
    )
    seed: int = option(0, "seed of every random number generator")
    resume: bool = option(False, "continue from the last saved state, if there is one")

    def __post_init__(self) -> None:
        check_choices(self)
        self.check_minimum(1, "per_device_train_batch_size")
        self.check_minimum(0, "weight_decay", "warmup_steps", "max_grad_norm", "seed")
        self.check_minimum(0, "learning_rate")

    def check_minimum(self, minimum: float, *names: str) -> None:
        """Refuse fields below a minimum.

        Raises:
            ConfigError: names the first.
        """
        for name in names:
            value = getattr(self, name)
            if not math.isfinite(value) or value < minimum:
                rule = "must not be negative" if minimum == 0 else f"must be at least {minimum}"
                raise ConfigError(f"{name} {rule}, not {value}")

    def check_share(self, *names: str) -> None:
        """Refuse fields that are not 0 to 1.

        Raises:
            ConfigError: names the first.
        """
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be 0 to 1, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(kw_only=True)
class EpochConfig(FitConfig):
    """Settings of a run that goes through its training examples epoch by epoch."""

    num_train_epochs: int = option(6, "epochs, at most")
    per_device_eval_batch_size: int = option(4, "validation examples in a batch of each process")
    gradient_accumulation_steps: int = option(4, "batches of one optimiser step")
    patience: int = option(0, "stop after so many epochs without a better one; 0 never stops")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_minimum(
            1, "num_train_epochs", "per_device_eval_batch_size", "gradient_accumulation_steps"
        )
        self.check_minimum(0, "patience")
        if self.learning_rate == 0:
            raise ConfigError("learning_rate must be positive")


@dataclass(kw_only=True)
class TrainConfig(EpochConfig):
    """Settings of the multimodal model, of an audio-only model and of a stock checkpoint."""

    protocol: Literal["speaker_disjoint", "paper", "natural"] = option(
        "speaker_disjoint", "configuration of the corpus; folds are cut from natural"
    )
    fold: int | None = option(
        None, "test on this fold, validate on the next one and train on the others"
    )
    folds: str | None = option(
        None, "cross-validation: all, or some folds such as 0,2, one run after the other"
    )
    fold_corpus: str | None = option(
        None, "corpus whose folds are tested; those of every corpus when not given"
    )
    transcripts: Literal["known", "whisper", "any"] = option(
        "known",
        "text of a clip: known, its corpus's; whisper, what a transcriber recognised when the "
        "corpus was built (corpus build --transcripts); any, the first where there is one",
    )
    corpora: list[str] = option([], "train on these corpora only; on all when not given")
    validation: Literal["split", "none"] = option(
        "split",
        "split: choose the best epoch and fit the temperature on clips kept apart; "
        "none: train on them too, and keep the last epoch",
    )
    temperature: float | None = option(
        None,
        "temperature of the saved model, from a cross-validation; fitted on the validation clips "
        "when not given",
    )
    temperature_from: str | None = option(
        None,
        "folder of a cross-validation (--folds): fit the temperature to its predictions for the "
        "speakers of this run; it stays at 1 where that does not help on folds that were left out",
    )
    model: dict[str, Any] = option(
        {},
        "arguments of HubertBertConfig; audio_config and text_config are each a dict (random "
        "weights) or the Hub id or folder of a pretrained encoder or of a custom checkpoint; in it "
        "{fold} stands for the number of the fold, or for `all` without folds, and {_protocol}, "
        "here and in output_dir, for _paper in the protocol paper and else for nothing",
    )
    tokenizer: dict[str, Any] = option(
        {},
        "vocab_size and texts: train a lower-case WordPiece vocabulary on the transcripts and on "
        "these text files; not used with a pretrained text encoder, which has its own",
    )
    text_pairs: dict[str, Any] = option(
        {},
        "comments (GoEmotions, a folder or Hub id), matched and neutral: replace the transcript of "
        "these shares of training clips by a comment of the clip's emotion, or by a neutral one",
    )
    augment: float = option(
        0.0,
        "probability of each of time stretching, pitch shifting, gain and noise on a training clip",
    )
    poor_recordings: float = option(
        0.0,
        "probability that a training clip is degraded: noise, reverberation, band limits, "
        "clipping, silence around it",
    )
    augment_copies: int = option(
        0,
        "with frozen encoders: augmented copies of each clip that are made once and drawn from in "
        "every epoch; without them, augmentation runs the encoders in every epoch",
    )
    speed_copies: list[float] = option(
        [],
        "with frozen encoders: further copies of each clip, played at these speeds, such as "
        "[0.9, 1.1]: pitch and formants change with the speed, as from one speaker to another",
    )
    feature_cache: str | None = option(
        None,
        "folder of the vectors of frozen encoders, which runs may share; OUTPUT_DIR.state when not "
        "given",
    )
    standardize: bool = option(
        False,
        "with frozen encoders: standardise what the classifier reads by mean and deviation of the "
        "training clips, which are saved with the weights; with init_from those of that model stay",
    )
    stock_checkpoint: bool = option(
        False,
        "train an audio-only model and save it as a stock class of transformers, which needs no "
        'code of this project (paper, "Hubert Standalone")',
    )
    unfreeze: Literal["head", "top2_conv", "partial", "entire"] | None = option(
        None,
        "what is trained of the encoders (paper, Figure 7): head nothing, top2_conv the last two "
        "convolutions, partial all but the convolutions, entire everything; what --freeze names "
        "stays frozen",
    )
    freeze: list[str] = option(
        [],
        "parts that are not trained: text_model, audio_model or audio_model.feature_extractor "
        "(its convolutions)",
    )
    init_from: str | None = option(None, "folder or Hub id of a custom checkpoint to start from")
    batch_seconds: float = option(
        0.0,
        "batches of clips of similar length with at most so many padded seconds, instead of "
        "per_device_train_batch_size clips; 0 turns it off",
    )
    label_smoothing_factor: float = option(
        0.0, "share of the target that goes equally to all emotions"
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "balanced: weight emotions by the inverse of their number of clips"
    )
    soft_labels: bool = option(
        False, "train on the listeners' votes where a clip has them, instead of on its label"
    )
    corpus_weights: dict[str, float] = option(
        {}, "weight of the training clips of a corpus, such as {tess: 0.1}; 1 for the others"
    )
    voice_copies: float = option(
        0.0,
        "with frozen encoders: probability that a training clip is shown without the offset of its "
        "speaker, as adapt takes it away later",
    )
    tasks: dict[str, Any] = option(
        {},
        "further heads, trained beside the emotion: {gender: {weight: 0.3}, arousal: {column: "
        "activation}}; column is one of the corpus, texts or numbers (default: the name), weight "
        "that of its loss (default: 0.3)",
    )
    max_seconds: float = option(
        8.0, "longer training clips are cut to a random segment of this length"
    )
    save_dtype: Literal["float32", "float16"] = option("float32", "precision of the saved weights")
    limit: int | None = option(None, "use only so many clips of each split, for a quick check")
    push_to_hub: bool = option(False, "push the trained model to the Hub")
    hub_model_id: str | None = option(
        None, "repository of the Hub to push to; named after output_dir when not given"
    )
    hub_private_repo: bool = option(False, "make that repository private")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature is not None and self.temperature <= 0:
            raise ConfigError(f"temperature must be positive, not {self.temperature}")
        if self.temperature is not None and self.temperature_from is not None:
            raise ConfigError("temperature and temperature_from exclude each other")
        if not self.max_seconds > 0:
            raise ConfigError(f"max_seconds must be positive, not {self.max_seconds}")
        self.check_minimum(0, "batch_seconds", "augment_copies")
        self.check_share("augment", "poor_recordings", "voice_copies")
        if not 0 <= self.label_smoothing_factor < 1:
            raise ConfigError(
                f"label_smoothing_factor must be 0 to below 1, not {self.label_smoothing_factor}"
            )
        self._check_folds()
        suffix = "_paper" if self.protocol == "paper" else ""
        self.output_dir = self.output_dir.replace("{_protocol}", suffix)
        if self.folds is None:
            fold = "all" if self.fold is None else str(self.fold)
            self.model = {
                key: value.replace("{fold}", fold).replace("{_protocol}", suffix)
                if isinstance(value, str)
                else value
                for key, value in self.model.items()
            }
        if 0 < self.batch_seconds < self.max_seconds:
            raise ConfigError(
                f"batch_seconds must be at least max_seconds, {self.max_seconds}: "
                "a batch holds at least one clip"
            )
        self._check_tasks()
        if self.augment_copies and not (self.augment or self.poor_recordings):
            raise ConfigError("augment_copies needs augment or poor_recordings, a probability")
        if not all(isinstance(speed, int | float) and speed > 0 for speed in self.speed_copies):
            raise ConfigError(f"speed_copies must be positive numbers, not {self.speed_copies}")
        if self.patience and self.validation == "none":
            raise ConfigError("patience needs validation clips, and validation is none")
        for name, weight in self.corpus_weights.items():
            if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
                raise ConfigError(f"corpus_weights: {name} must be a positive number, not {weight}")

    def _check_tasks(self) -> None:
        """Fill in the defaults of ``tasks``."""
        if self.tasks and self.stock_checkpoint:
            raise ConfigError("tasks: a stock checkpoint has one head only")
        for name, given in self.tasks.items():
            task = {"column": name, "weight": TASK_WEIGHT, **(given or {})}
            weight = task["weight"]
            if set(task) != {"column", "weight"} or not name.isidentifier() or name == "weight":
                raise ConfigError(f"tasks: {name} must have the keys column and weight only")
            if not isinstance(weight, int | float) or not 0 < weight < math.inf:
                raise ConfigError(f"tasks: the weight of {name} must be positive, not {weight}")
            self.tasks[name] = task

    def _check_folds(self) -> None:
        if self.fold is not None and self.folds is not None:
            raise ConfigError("fold names one fold and folds several: give one of them")
        if self.folds is not None:
            self.fold_numbers()
        if self.fold is None and self.folds is None:
            if self.fold_corpus:
                raise ConfigError("fold_corpus needs fold or folds")
        elif self.protocol == "paper":
            raise ConfigError("folds are cut by speaker, from protocol natural and not from paper")
        else:
            self.protocol = "natural"

    def fold_numbers(self) -> list[int] | None:
        """Return the folds that ``folds`` names; ``None`` for all that exist."""
        if self.folds is None or self.folds == "all":
            return None
        try:
            return sorted({int(number) for number in self.folds.split(",")})
        except ValueError:
            raise ConfigError(f"folds must be all or numbers, not {self.folds!r}") from None

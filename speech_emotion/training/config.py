"""One config dataclass, filled from a YAML file and overridden on the command line."""

import argparse
import contextlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import yaml

REGIMES = {
    "head": ("audio_model", "text_model"),
    "top2_conv": ("audio_model", "text_model"),
    "partial": ("audio_model.feature_extractor",),
    "entire": (),
}
"""Parts of the model that each value of ``unfreeze`` freezes (paper, Figure 7 and section III-D.1).
Of ``top2_conv``, the last two convolutions are trained all the same."""


class ConfigError(ValueError):
    """A config that cannot be used. The message is one line."""


@dataclass(kw_only=True)
class TrainConfig:
    """Everything that decides a training run. Defaults are the paper's Table 7.

    Args:
        data: corpus folder or Hub data set id.
        out: checkpoint folder to write; the state for resuming is kept beside it.
        protocol: configuration of the corpus: ``speaker_disjoint``, ``paper`` or ``natural``.
            Folds are cut from ``natural``.
        fold: test on this fold and train on the rest, see :class:`~speech_emotion.training.folds.Selection`.
        folds: cross-validation: ``all``, or some folds such as ``0,2``, one run after the other.
        fold_corpus: the corpus whose folds are meant; those of every corpus when not given.
        corpora: train on these corpora only; on all when empty.
        validation: ``split`` keeps clips apart on which the best epoch is chosen and the
            temperature is fitted; ``none`` trains on them too, and keeps the last epoch.
        temperature: of the saved model, from a cross-validation; fitted on the validation clips
            when not given.
        model: arguments of ``HubertBertConfig``; ``audio_config`` and ``text_config`` are each
            either a dict (random initialisation) or the Hub id or folder of a pretrained encoder;
            ``{fold}`` in it stands for the number of the fold, or for ``all`` without folds.
        tokenizer: ``{"vocab_size", "texts"}`` trains a lower-case WordPiece vocabulary on the
            transcripts and on the text files in ``texts``. Not used with a pretrained
            text encoder, which brings its own.
        text_pairs: ``{"comments", "matched", "neutral"}`` shows training clips with comments of
            GoEmotions, see :class:`~speech_emotion.training.text_sampler.TextSampler`.
        augment: chance with which each of stretching, pitch shifting, gain and noise is applied
            to a training clip.
        poor_recordings: chance that a training clip is heard as a poor recording, cleaned, see
            :func:`~speech_emotion.training.augment.poor_recorder`.
        augment_copies: with frozen encoders, so many changed copies of each clip are made once,
            and an epoch draws one of them; without, ``augment`` and ``poor_recordings`` need
            the encoders every epoch.
        feature_cache: folder in which the vectors of frozen encoders are kept; ``<out>.state``
            when not given. Runs and folds may share it.
        standardize: with frozen encoders, standardise the vectors that the classifier reads; the
            saved classifier reads them as they are.
        standalone: a model of the voice alone (paper, "Hubert Standalone"), saved as a stock
            classifier of ``transformers`` that needs no code of ours.
        unfreeze: what is trained of the encoders (paper, Figure 7): ``head`` nothing,
            ``top2_conv`` the last two convolutions, ``partial`` all but the convolutions,
            ``entire`` everything. Together with ``freeze``, what either freezes is frozen.
        freeze: parts of the model that are not trained: ``text_model``, ``audio_model`` or
            ``audio_model.feature_extractor``, its convolutions.
        init_from: folder or id of a ``HubertBertForEmotion`` to start from.
        epochs, batch_size, eval_batch_size, accumulation, learning_rate, weight_decay,
            warmup_steps: as in Table 7. ``warmup_steps`` counts optimiser steps.
        max_grad_norm: gradients are clipped to this norm; 0 turns it off.
        patience: stop after so many epochs without a better one; 0 never stops.
        batch_seconds: batches of clips of similar length, at most so many padded seconds each, in
            the place of ``batch_size`` clips; 0 turns it off.
        label_smoothing: share of the target that goes equally to all emotions.
        class_weights: ``balanced`` weighs emotions by the inverse of their number of clips;
            ``none``.
        soft_labels: a clip with listeners' votes is trained on these instead of on its label.
        corpus_weights: how much a training clip of a corpus counts, such as ``{"tess": 0.1}``;
            1 for corpora that are not named.
        max_seconds: longer training clips are cut to a random stretch of this length.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        save_dtype: ``float32`` or ``float16``, precision of the saved weights.
        seed: of everything random.
        limit: use only this many clips of each split; for a smoke run.
        tracker: ``tensorboard`` writes curves into ``<out>.state/logs``; ``none``.
        push_to_hub: push what was trained to this repo of the Hub.
        private: make that repo private.
        resume: go on from the last finished epoch when its state is there.
    """

    data: str = ""
    out: str = ""
    protocol: str = "speaker_disjoint"
    fold: int | None = None
    folds: str | None = None
    fold_corpus: str | None = None
    corpora: list[str] = field(default_factory=list)
    validation: str = "split"
    temperature: float | None = None
    model: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    text_pairs: dict[str, Any] = field(default_factory=dict)
    augment: float = 0.0
    poor_recordings: float = 0.0
    augment_copies: int = 0
    feature_cache: str | None = None
    standardize: bool = False
    standalone: bool = False
    unfreeze: str | None = None
    freeze: list[str] = field(default_factory=list)
    init_from: str | None = None
    epochs: int = 6
    batch_size: int = 4
    eval_batch_size: int = 4
    accumulation: int = 4
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_steps: int = 500
    max_grad_norm: float = 1.0
    patience: int = 0
    batch_seconds: float = 0.0
    label_smoothing: float = 0.0
    class_weights: str = "none"
    soft_labels: bool = False
    corpus_weights: dict[str, float] = field(default_factory=dict)
    max_seconds: float = 8.0
    mixed_precision: str = "no"
    save_dtype: str = "float32"
    seed: int = 0
    limit: int | None = None
    tracker: str = "none"
    push_to_hub: str | None = None
    private: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "accumulation"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.temperature is not None and self.temperature <= 0:
            raise ConfigError(f"temperature must be positive, not {self.temperature}")
        if self.learning_rate <= 0 or self.max_seconds <= 0:
            raise ConfigError("learning_rate and max_seconds must be positive")
        for name in (
            "weight_decay",
            "warmup_steps",
            "max_grad_norm",
            "seed",
            "patience",
            "batch_seconds",
            "augment_copies",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing must be 0 to below 1, not {self.label_smoothing}")
        if self.unfreeze is not None:
            check_choices(self, unfreeze=tuple(REGIMES))
        self._check_folds()
        if self.folds is None:
            fold = "all" if self.fold is None else str(self.fold)
            self.model = {
                key: value.replace("{fold}", fold) if isinstance(value, str) else value
                for key, value in self.model.items()
            }
        if 0 < self.batch_seconds < self.max_seconds:
            raise ConfigError(
                f"batch_seconds must be at least max_seconds, {self.max_seconds}: "
                "a batch holds a clip or more"
            )
        for name in ("augment", "poor_recordings"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be 0 to 1, not {getattr(self, name)}")
        if self.augment_copies and not (self.augment or self.poor_recordings):
            raise ConfigError("augment_copies needs augment or poor_recordings, a chance")
        if self.patience and self.validation == "none":
            raise ConfigError("patience needs validation clips, and validation is none")
        for name, weight in self.corpus_weights.items():
            if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
                raise ConfigError(f"corpus_weights: {name} must be a positive number, not {weight}")
        check_choices(
            self,
            protocol=("speaker_disjoint", "paper", "natural"),
            validation=("split", "none"),
            class_weights=("none", "balanced"),
            tracker=("none", "tensorboard"),
            mixed_precision=("no", "bf16", "fp16"),
            save_dtype=("float32", "float16"),
        )

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
        if self.folds == "all":
            return None
        try:
            return sorted({int(number) for number in self.folds.split(",")})
        except ValueError:
            raise ConfigError(f"folds must be all or numbers, not {self.folds!r}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


def check_choices(config: Any, **choices: tuple[str, ...]) -> None:
    """Raise :class:`ConfigError` when a field has none of its allowed values."""
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ConfigError(
                f"{name} must be {' or '.join(allowed)}, not {getattr(config, name)!r}"
            )


def parse_settings(
    kind: type,
    program: str,
    description: str,
    arguments: list[str] | None = None,
    *,
    needed: tuple[str, ...] = ("data", "out"),
) -> Any:
    """Read ``--config FILE`` and the overrides into a config dataclass.

    Every simple field is an option of its own: ``learning_rate`` is ``--learning-rate``, and so is
    a list of strings. Dicts and other lists are set in the file only. Those in ``needed`` must be
    given.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a value of the wrong type.
    """
    hints = get_type_hints(kind)
    types = {name: _simple(hint) for name, hint in hints.items()}
    parser = argparse.ArgumentParser(prog=program, description=description.splitlines()[0])
    parser.add_argument("--config", type=Path, help=f"YAML file with the fields of {kind.__name__}")
    for name, simple in types.items():
        option = f"--{name.replace('_', '-')}"
        if simple is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None)
        elif hints[name] == list[str]:
            parser.add_argument(option, nargs="+", metavar="NAME")
        elif simple not in (dict, list):
            parser.add_argument(option, type=simple, metavar=simple.__name__.upper())
    given = vars(parser.parse_args(arguments))
    values = _read_yaml(given.pop("config"), kind, types)
    values.update({name: value for name, value in given.items() if value is not None})
    config = kind(**values)
    for name in needed:
        if not getattr(config, name):
            raise ConfigError(f"--{name} is needed")
    return config


def _read_yaml(path: Path | None, config_class: type, types: dict[str, type]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not YAML (not UTF-8)") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values")
    unknown = set(values) - set(types)
    if unknown:
        raise ConfigError(f"{path}: unknown key {', '.join(sorted(map(str, unknown)))}")
    for name, value in values.items():
        kind = types[name]
        if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
            # YAML reads 5e-5 as text: it wants 5.0e-5.
            with contextlib.suppress(ValueError):
                values[name] = value = float(value)
        default = next(f for f in fields(config_class) if f.name == name).default
        if value is None and default is None:
            continue
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(f"{path}: {name} must be {kind.__name__}, not {value!r}")
    return values


def _simple(kind: Any) -> type:
    """``int | None`` becomes ``int``; ``dict[str, Any]`` becomes ``dict``."""
    if isinstance(kind, UnionType):
        kind = next(option for option in get_args(kind) if option is not type(None))
    return getattr(kind, "__origin__", kind)

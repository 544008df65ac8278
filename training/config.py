"""One config dataclass, filled from a YAML file and overridden on the command line."""

import argparse
import contextlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import yaml


class ConfigError(ValueError):
    """A config that cannot be used. The message is one line."""


@dataclass(kw_only=True)
class TrainConfig:
    """Everything that decides a training run. Defaults are the paper's Table 7.

    Args:
        data: corpus folder or Hub data set id.
        out: checkpoint folder to write; the state for resuming is kept beside it.
        protocol: configuration of the corpus: ``speaker_disjoint`` or ``paper``.
        model: arguments of ``HubertBertConfig``; ``audio_config`` and ``text_config`` are each
            either a dict (random initialisation) or the Hub id or folder of a pretrained encoder.
        tokenizer: ``{"vocab_size", "texts"}`` trains a lower-case WordPiece vocabulary on the
            transcripts and on the text files in ``texts``. Not used with a pretrained
            text encoder, which brings its own.
        text_pairs: ``{"comments", "matched", "neutral"}`` shows training clips with comments of
            GoEmotions, see :class:`~training.companions.Companions`.
        augment: chance with which each of stretching, pitch shifting, gain and noise is applied
            to a training clip.
        freeze: parts of the model that are not trained: ``text_model``, ``audio_model`` or
            ``audio_model.feature_extractor``, its convolutions.
        init_from: folder or id of a ``HubertBertForEmotion`` to start from.
        epochs, batch_size, eval_batch_size, accumulation, learning_rate, weight_decay,
            warmup_steps: as in Table 7. ``warmup_steps`` counts optimiser steps.
        max_grad_norm: gradients are clipped to this norm; 0 turns it off.
        max_seconds: longer training clips are cut to a random stretch of this length.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        save_dtype: ``float32`` or ``float16``, precision of the saved weights.
        seed: of everything random.
        limit: use only this many clips of each split; for a smoke run.
        resume: go on from the last finished epoch when its state is there.
    """

    data: str = ""
    out: str = ""
    protocol: str = "speaker_disjoint"
    model: dict[str, Any] = field(default_factory=dict)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    text_pairs: dict[str, Any] = field(default_factory=dict)
    augment: float = 0.0
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
    max_seconds: float = 8.0
    mixed_precision: str = "no"
    save_dtype: str = "float32"
    seed: int = 0
    limit: int | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "accumulation"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate <= 0 or self.max_seconds <= 0:
            raise ConfigError("learning_rate and max_seconds must be positive")
        for name in ("weight_decay", "warmup_steps", "max_grad_norm", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative")
        check_choices(
            self,
            protocol=("speaker_disjoint", "paper"),
            mixed_precision=("no", "bf16", "fp16"),
            save_dtype=("float32", "float16"),
        )

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
    kind: type, program: str, description: str, arguments: list[str] | None = None
) -> Any:
    """Read ``--config FILE`` and the overrides into a config dataclass.

    Every simple field is an option of its own: ``learning_rate`` is ``--learning-rate``. Fields
    that hold lists or dicts are set in the file only. ``data`` and ``out`` must be given.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a value of the wrong type.
    """
    types = {name: _simple(hint) for name, hint in get_type_hints(kind).items()}
    parser = argparse.ArgumentParser(prog=program, description=description.splitlines()[0])
    parser.add_argument("--config", type=Path, help=f"YAML file with the fields of {kind.__name__}")
    for name, simple in types.items():
        option = f"--{name.replace('_', '-')}"
        if simple is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None)
        elif simple not in (dict, list):
            parser.add_argument(option, type=simple, metavar=simple.__name__.upper())
    given = vars(parser.parse_args(arguments))
    values = _read_yaml(given.pop("config"), kind, types)
    values.update({name: value for name, value in given.items() if value is not None})
    config = kind(**values)
    for name in ("data", "out"):
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

"""The configuration parser: one dataclass a program, a YAML file, and options that override it."""

import os
import re
import sys
from copy import deepcopy
from dataclasses import field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from transformers import HfArgumentParser

from speech_emotion.predict import shipped

OLD_NAMES = {
    "accumulation": "gradient_accumulation_steps",
    "batch_size": "per_device_train_batch_size",
    "epochs": "num_train_epochs",
    "eval_batch_size": "per_device_eval_batch_size",
    "label_smoothing": "label_smoothing_factor",
    "out": "output_dir",
    "private": "hub_private_repo",
    "save_every": "save_steps",
    "standalone": "stock_checkpoint",
    "steps": "max_steps",
    "tracker": "report_to",
}
"""Old names of fields, accepted for one release in YAML files and on the command line, and read
in the records and states of older runs."""

BASE = "base"
"""Key of a YAML file that names another file, relative to it, whose keys it inherits."""

CONFIGS = "configs"
"""Folder of the configurations that ship with the library."""

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_TRUTH = ("true", "false", "yes", "no", "y", "n", "t", "f", "1", "0")


class ConfigError(ValueError):
    """A config that cannot be used. The message is one line."""


def option(default: Any, help: str) -> Any:
    """Return a field of a config dataclass, with its default and the help of its option."""
    metadata = {"help": help.replace("%", "%%")}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


class _Parser(HfArgumentParser):
    """Reads dicts as YAML, and raises :class:`ConfigError` where argparse exits."""

    def __init__(self, kind: type, **settings: Any) -> None:
        super().__init__(kind, allow_abbrev=False, **settings)
        self.register("type", dict[str, Any], _mapping)
        self.register("type", dict[str, float], _mapping)
        self.add_argument_group("configuration file").add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            help="YAML file with any of these fields; options override it. `base: FILE` inherits "
            "the keys of another file, ${NAME} and ${NAME:-default} stand for variables of the "
            "environment",
        )

    def error(self, message: str) -> Any:
        raise ConfigError(message)


def parse_config(
    kind: type,
    arguments: list[str] | None = None,
    *,
    program: str,
    description: str,
    needed: tuple[str, ...] = ("data", "output_dir"),
) -> Any:
    """Fill a config dataclass from ``--config FILE`` and the options that override it.

    Args:
        kind: a dataclass whose fields are made by :func:`option`.
        arguments: those of the command line when not given.
        program: name of the program in the help.
        description: shown above the options in the help.
        needed: fields that must have a value.

    Raises:
        ConfigError: no such file, not YAML, an unknown name, a value of the wrong type.
    """
    parser = _Parser(kind, prog=program, description=description)
    arguments = _renamed_options(kind, arguments)
    file = parser.parse_known_args(arguments)[0].config
    if file is not None:
        try:
            parser.set_defaults(**_checked(parser, kind, read_config(file)))
        except ConfigError as error:
            message = str(error)
            raise ConfigError(message if str(file) in message else f"{file}: {message}") from error
    config, _, unknown = parser.parse_args_into_dataclasses(
        arguments, look_for_args_file=False, return_remaining_strings=True
    )
    if unknown:
        raise ConfigError(f"unknown option {' '.join(unknown)}")
    for name in needed:
        if not getattr(config, name):
            raise ConfigError(f"--{name} is needed")
    return config


def read_config(path: Path, *, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a YAML file: the keys of its base first, variables expanded, old names replaced.

    A file ``configs/NAME`` that does not exist is looked for among those of the library.

    Raises:
        ConfigError: a file cannot be read, is not YAML, or names a variable that is not set.
    """
    installed = shipped(CONFIGS) / path.name
    if not path.exists() and str(path.parent) == CONFIGS and installed.is_file():
        path = installed
    if path.resolve() in seen:
        raise ConfigError(f"{path}: is its own {BASE}")
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
    values = renamed(_expanded(values, path))
    base = values.pop(BASE, None)
    if base is None:
        return values
    return read_config(path.parent / str(base), seen=(*seen, path.resolve())) | values


def renamed(settings: dict[Any, Any]) -> dict[Any, Any]:
    """Return settings with today's names for :data:`OLD_NAMES`."""
    found = {OLD_NAMES.get(name, name): value for name, value in settings.items()}
    repo = found.get("push_to_hub")
    if isinstance(repo, str) and repo.lower() not in _TRUTH:  # once the name of the repo
        found |= {"push_to_hub": True, "hub_model_id": repo}
    return found


def check_choices(config: Any) -> None:
    """Refuse a field that has none of the values of its ``Literal`` type.

    Raises:
        ConfigError: names the field and its values.
    """
    for name, hint in get_type_hints(type(config)).items():
        for kind in (hint, *get_args(hint)):
            value = getattr(config, name)
            if get_origin(kind) is Literal and value is not None and value not in get_args(kind):
                raise ConfigError(f"{name} must be {' or '.join(get_args(kind))}, not {value!r}")


def _renamed_options(kind: type, arguments: list[str] | None) -> list[str]:
    """Replace old names of options, ``--no-NAME`` and ``--push-to-hub REPO`` by today's."""
    booleans = {name for name, hint in get_type_hints(kind).items() if hint is bool}
    found: list[str] = []
    for argument in sys.argv[1:] if arguments is None else arguments:
        name, equals, value = argument.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        positive = key.removeprefix("no_")
        if found and found[-1] == "--push_to_hub" and not argument.startswith("--"):
            found += [] if argument.lower() in _TRUTH else ["--hub_model_id"]
        if not argument.startswith("--"):
            found.append(argument)
        elif key != positive and OLD_NAMES.get(positive, positive) in booleans:
            found.append(f"--{OLD_NAMES.get(positive, positive)}=false")
        else:
            found.append(f"--{OLD_NAMES.get(key, key)}{equals}{value}")
    return found


def _checked(parser: _Parser, kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a YAML file after the checks that options go through."""
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise ConfigError(f"unknown key {', '.join(unknown)}")
    whole = {}  # what an option cannot say: dicts, empty lists, and null where it is allowed
    options: list[str] = []
    for name, value in values.items():
        plain = get_origin(hints[name]) or hints[name]
        for container in (dict, list):
            if isinstance(value, container) != (plain is container):
                raise ConfigError(f"{name} must {_wanted(plain)}, not {value!r}")
        if plain is bool and not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false, not {value!r}")
        if plain is dict or value == [] or (value is None and known[name].default is None):
            whole[name] = value
        elif plain is list:
            options += [f"--{name}", *map(str, value)]
        else:
            options.append(f"--{name}={value}")
    parsed = vars(parser.parse_args(options))
    return {name: whole.get(name, parsed[name]) for name in values}


def _wanted(kind: Any) -> str:
    return {dict: "have keys and values", list: "be a list"}.get(kind, "be one value")


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(text) from error
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _expanded(value: Any, path: Path) -> Any:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in every text of a YAML value."""
    if isinstance(value, dict):
        return {key: _expanded(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, path) for item in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1]) or match[2]
        if found is None:
            raise ConfigError(f"{path}: needs the variable {match[1]}; set {match[1]}=...")
        return found

    return _VARIABLE.sub(variable, value)

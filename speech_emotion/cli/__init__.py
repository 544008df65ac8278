"""The sub-commands of ``speech-emotion``, one small module each.

A module here is a sub-command of its name; the first line of its docstring is its help. It has
either two functions, ``add_arguments(parser)`` and ``run(options) -> int``, which returns the exit
code; or ``forward(arguments, prog)``, for a command line with a parser of its own. What takes long
to import (torch, transformers) is imported inside ``run`` and ``forward``, so that ``--help`` is
fast.
"""

import argparse
import sys
from typing import Any

from speech_emotion.predict import DEFAULT_MODEL


class CommandError(Exception):
    """The command cannot be carried out; the message is one line, and the exit code is 2."""


def add_model_arguments(
    parser: Any,
    *,
    what: str = "folder or Hub id of the model",
    flag: bool = True,
    required: bool = False,
) -> None:
    """Add the model and ``--trust-remote-code``.

    Args:
        parser: or a group of one.
        what: help for the model.
        flag: the model is ``--model``; otherwise an optional positional argument.
        required: there is no default.
    """
    help_text = f"{what} (default: the embedded checkpoint, mini)"
    if required:
        parser.add_argument("--model", metavar="MODEL", required=True, help=what)
    elif flag:
        parser.add_argument("--model", metavar="MODEL", default=str(DEFAULT_MODEL), help=help_text)
    else:
        parser.add_argument("model", nargs="?", default=str(DEFAULT_MODEL), help=help_text)
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the Python code that the model's folder or repo brings; without it a model that "
        "needs code of its own is refused. Only for models of people you trust",
    )


def add_work_arguments(parser: Any) -> None:
    """Add ``--batch-size`` and ``--workers``."""
    parser.add_argument(
        "--batch-size",
        type=int,
        default=8,
        metavar="N",
        help="clips in one forward pass (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        default=0,
        metavar="N",
        help="processes that predict on one core each, or, where a transcriber or a GPU is used, "
        "decode and clean; 0: none besides this one; auto: one a core, where there are clips "
        "enough (default: %(default)s)",
    )


def _workers(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: neither a number nor auto") from error


NOTES = True
"""Whether :func:`print_note` prints."""


def print_error(line: str) -> None:
    """Print a line to standard error, beside the results."""
    print(f"speech-emotion: {line}", file=sys.stderr)


def print_note(line: str) -> None:
    """Print what the user did not ask for to standard error; nothing with ``-q``."""
    if NOTES:
        print_error(line)


def load_model(options: argparse.Namespace, **more: Any) -> Any:
    """Load the model that the options name, without messages of the libraries."""
    from speech_emotion.predict.loading import load_classifier, quiet

    quiet(backend=more.get("backend"))
    return load_classifier(options.model, trust_remote_code=options.trust_remote_code, **more)

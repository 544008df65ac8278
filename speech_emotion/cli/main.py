"""Command line: ``speech-emotion COMMAND`` or ``python -m speech_emotion COMMAND``."""

import argparse
import importlib
import io
import logging
import pkgutil
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from corpus_builder import CorpusError
from corpus_builder.command_line import OneLineParser, add_verbosity, reader_gone, verbosity
from speech_emotion import __version__, cli
from speech_emotion.predict import PredictError, PredictWarning

PROG = "speech-emotion"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those of the command line when not given.

    Returns:
        the exit code of the command; 2 when it cannot be carried out, 130 when it is interrupted,
        141 when the reader of its output has gone.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a name or text may hold what the terminal lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with verbosity(arguments) as (rest, quiet):
            return _run(rest, quiet=quiet)
    except BrokenPipeError:
        return reader_gone()


def _run(arguments: list[str], *, quiet: bool) -> int:
    cli.NOTES = not quiet
    commands = {
        module.name: importlib.import_module(f"{cli.__name__}.{module.name}")
        for module in pkgutil.iter_modules(cli.__path__)
        if module.name != "main"
    }
    chosen = commands.get(arguments[0]) if arguments else None
    if chosen is not None and hasattr(chosen, "forward"):
        return chosen.forward(arguments[1:], prog=f"{PROG} {arguments[0]}")
    options = _parser(commands).parse_args(arguments)
    # The line on the missing transcript repeats the pipeline's warning.
    loggers = [logging.getLogger(name) for name in ("transformers_modules", "hub_model")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("always", PredictWarning)
            warnings.showwarning = partial(_show, warnings.showwarning)
            return options.run(options)
    except (cli.CommandError, PredictError, CorpusError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _show(other: Callable[..., None], message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """Print our own warnings as notes, and others as before."""
    if isinstance(message, PredictWarning):
        cli.print_note(str(message))
    else:
        other(message, *args, **kwargs)


def installed_version() -> str:
    """Return the version of the installed package, or of this checkout."""
    try:
        return version("speech-text-emotion")
    except PackageNotFoundError:
        return __version__


def _parser(commands: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=PROG,
        description="Recognise the emotion in recordings of speech; build corpora, train and "
        "evaluate.",
        epilog=f"{PROG} COMMAND --help explains the options of a command. Every command takes "
        "-q (no progress bars and no notes) and -v (messages of the libraries as well).",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    choices = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in commands.items():
        summary = (command.__doc__ or "").splitlines()[0]
        choice = choices.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if hasattr(command, "run"):
            command.add_arguments(choice)
            add_verbosity(choice)
            choice.set_defaults(run=command.run)
    return parser

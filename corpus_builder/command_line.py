"""What the command lines share."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the option, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with 2."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: {line}; {self.prog} --help explains the options\n")


QUIET, VERBOSE = ("-q", "--quiet"), ("-v", "--verbose")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add ``-q`` and ``-v``, which :func:`verbosity` has taken out, to the help of a command."""
    group = parser.add_argument_group("messages")
    group.add_argument(
        *QUIET, action="store_true", help="no progress bars and no notes; errors stay"
    )
    group.add_argument(
        *VERBOSE, action="store_true", help="with the messages and warnings of the libraries"
    )


def reader_gone() -> int:
    """Drop what is left of the output when its reader has gone, as with ``| head``.

    Returns:
        141, what a shell sees of a program that SIGPIPE ended.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


@contextmanager
def verbosity(arguments: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Apply ``-q`` and ``-v`` while a command runs.

    Without ``-v`` only what is written through :data:`sys.stderr` is shown: warnings are off, and
    what C libraries write to the standard error of the process, such as libmpg123, is dropped.

    Args:
        arguments: of the command line.

    Yields:
        the other arguments, and whether ``-q`` is among them.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = set(arguments[:end])
    rest = [
        word
        for place, word in enumerate(arguments)
        if place >= end or word not in (*QUIET, *VERBOSE)
    ]
    quiet = not given.isdisjoint(QUIET)
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"
    if not given.isdisjoint(VERBOSE):
        os.environ["TRANSFORMERS_VERBOSITY"] = os.environ["HF_HUB_VERBOSITY"] = "warning"
        yield rest, quiet
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    with warnings.catch_warnings(), _without_libraries():
        warnings.simplefilter("ignore")
        yield rest, quiet


@contextmanager
def _without_libraries() -> Iterator[None]:
    """Move :data:`sys.stderr` off file descriptor 2, and drop what is written to that."""
    shown = sys.stderr
    if shown is not sys.__stderr__ or shown is None or shown.fileno() != 2:
        yield  # a test or a notebook shows messages in its own way
        return
    shown.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    sys.stderr = open(  # noqa: SIM115
        kept, "w", encoding=shown.encoding, errors=shown.errors, buffering=1, closefd=False
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        sys.stderr = shown
        os.close(kept)

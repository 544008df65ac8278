"""Commands that must fail with one line."""

import re
from collections.abc import Callable

import pytest

PROGRESS_BAR = re.compile(r"\d+/\d+ \[|%\|")


def refusal(
    capsys: pytest.CaptureFixture, main: Callable[[list[str]], int], arguments: list[str]
) -> str:
    """Run a command that must write one line to stderr and end with exit code 2.

    Returns:
        the line.
    """
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    written = re.split(r"[\r\n]+", captured.err)
    (line,) = (line for line in written if line.strip() and not PROGRESS_BAR.search(line))
    assert captured.out == ""
    return line

"""The sub-commands of ``speech-emotion``, one small module each.

A module here whose name has no leading underscore is a sub-command of that name. It has a
docstring, whose first line is its help, and two functions: ``add_arguments(parser)`` and
``run(options) -> int``, which returns the exit code. What takes long to import (torch,
transformers) is imported inside ``run``, so that ``--help`` answers at once. None of this is
copied to the Hub.
"""


class CommandError(Exception):
    """The command cannot be carried out; the message is one line, and the exit code is 2."""

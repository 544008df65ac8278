"""Command line: ``python -m hub_model COMMAND``; the commands lie in ``hub_model/commands``."""

import argparse
import importlib
import logging
import pkgutil
import sys

from hub_model import commands


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        the exit code: what the command says; 2 when it cannot be carried out.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except commands.CommandError as error:
        print(f"hub_model: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hub_model", description="Recognise the emotion in recordings of speech."
    )
    choices = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in pkgutil.iter_modules(commands.__path__):
        if module.name.startswith("_"):
            continue
        command = importlib.import_module(f"{commands.__name__}.{module.name}")
        summary = command.__doc__.splitlines()[0]
        choice = choices.add_parser(module.name, help=summary, description=summary)
        command.add_arguments(choice)
        choice.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    # The line on the missing transcript says what the pipeline would warn of.
    logging.getLogger("transformers_modules").setLevel(logging.ERROR)
    sys.exit(main())

"""Command line: ``speech-emotion COMMAND`` or ``python -m speech_emotion COMMAND``."""

import argparse
import importlib
import logging
import pkgutil
import sys

from speech_emotion import cli


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        the exit code: what the command says; 2 when it cannot be carried out.
    """
    # The line on the missing transcript says what the pipeline would warn of.
    logging.getLogger("transformers_modules").setLevel(logging.ERROR)
    logging.getLogger("hub_model").setLevel(logging.ERROR)
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except cli.CommandError as error:
        print(f"speech-emotion: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="speech-emotion", description="Recognise the emotion in recordings of speech."
    )
    choices = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in pkgutil.iter_modules(cli.__path__):
        if module.name == "main":
            continue
        command = importlib.import_module(f"{cli.__name__}.{module.name}")
        summary = command.__doc__.splitlines()[0]
        choice = choices.add_parser(module.name, help=summary, description=summary)
        command.add_arguments(choice)
        choice.set_defaults(run=command.run)
    return parser

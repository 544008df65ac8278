"""print what a model is: labels, sizes, licence, cleaning, training data, encoders, calibration"""

import argparse
import json

from speech_emotion.cli import add_model_arguments, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    add_model_arguments(parser, flag=False)
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        help="table: a line a fact; json: for programs (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Load the model, which refuses a damaged one, and print facts about it.

    Returns:
        0.
    """
    from speech_emotion.predict.description import as_table, describe

    facts = describe(load_model(options, transcriber="none").model)
    print(json.dumps(facts, indent=2) if options.format == "json" else as_table(facts).rstrip())
    return 0

"""adapt a model to the recordings of one voice, room or microphone, without labels"""

import argparse
from pathlib import Path

from speech_emotion.cli import (
    CommandError,
    add_model_arguments,
    add_work_arguments,
    load_model,
    print_error,
    print_note,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="FILE|FOLDER|GLOB|TABLE|-",
        help="recordings of one source with several emotions; as for predict",
    )
    add_model_arguments(parser, what="model folder, which is not changed")
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="new folder for the adapted model",
    )
    parser.add_argument(
        "--no-clean", action="store_true", help="the recordings are already cleaned"
    )
    add_work_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write a copy of the model with the logit bias of the recordings in its ``config.json``.

    Returns:
        0 when every recording was used, 1 when some were not.
    """
    from speech_emotion.predict.clips import Recordings, find_recordings
    from speech_emotion.predict.fitting import copy_fitted, is_stock, require_model_folder
    from speech_emotion.training.model_card import write_model_card

    recordings = find_recordings(options.clips, on_note=print_note)
    folder = require_model_folder(options.model)
    if options.out.exists():
        raise CommandError(f"{options.out}: exists already; name a new folder")
    classifier = load_model(options, transcriber="none")
    refused: list[str] = []
    try:
        bias = classifier.adapt(
            Recordings(recordings),
            clean=not options.no_clean,
            batch_size=options.batch_size,
            num_workers=options.workers,
            on_error=refused.append,
        )
    except ValueError as error:
        raise CommandError(f"{options.model}: {error}") from error
    finally:
        for line in refused:
            print_error(line)
    config = classifier.model.config
    copy_fitted(folder, options.out, {"logit_bias": config.logit_bias})
    write_model_card(config, options.out, stock=is_stock(options.out))
    used = len(recordings) - len(refused)
    for emotion, value in bias.items():
        print(f"{emotion:<12}{value:+.2f}")
    print(f"{options.out}: adapted to {used} of {len(recordings)} recordings")
    return 1 if refused else 0

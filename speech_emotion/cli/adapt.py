"""fit a model to the recordings of one voice, room or microphone, without labels"""

import argparse
import shutil
import sys
from pathlib import Path

from speech_emotion.cli import CommandError
from speech_emotion.predict.clips import Paths, find_clips
from speech_emotion.predict.loading import DEFAULT_MODEL, is_plain, load_classifier, write_fitted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        help="recordings, folders, patterns, or - for names on standard input; all of one source, "
        "with several emotions among them",
    )
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder, which stays as it is")
    parser.add_argument("--out", required=True, type=Path, help="new folder for the adapted model")
    parser.add_argument("--no-clean", action="store_true", help="the audio is clean already")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once: 8")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes: 0")


def run(options: argparse.Namespace) -> int:
    """Write a copy of the model whose ``config.json`` takes off what the recordings add.

    Returns:
        0 when every recording was used, 1 when some were not.
    """
    from speech_emotion.training.model_card import write_model_card

    files = find_clips(options.clips)
    model = Path(options.model)
    if not (model / "config.json").is_file():
        raise CommandError(f"{model}: not a model folder; a Hub model must be downloaded")
    if options.out.exists():
        raise CommandError(f"{options.out}: is already there")
    classifier = load_classifier(options.model, transcriber="none")
    refused: list[str] = []
    try:
        shift = classifier.adapt(
            Paths(files),
            clean=not options.no_clean,
            batch_size=options.batch_size,
            num_workers=options.workers,
            on_error=refused.append,
        )
    except ValueError as error:
        raise CommandError(f"{options.model}: {error}") from error
    finally:
        for line in refused:
            print(f"speech-emotion: {line}", file=sys.stderr)
    try:
        shutil.copytree(model, options.out)
    except OSError as error:
        raise CommandError(f"{options.out}: cannot be written ({error})") from error
    config = classifier.model.config
    write_fitted(options.out, {"logit_bias": config.logit_bias})
    write_model_card(config, options.out, plain=is_plain(options.out))
    for emotion, value in shift.items():
        print(f"{emotion:<12}{-value:+.2f}")
    print(f"{options.out}: fitted to {len(files) - len(refused)} of {len(files)} recordings")
    return 1 if refused else 0

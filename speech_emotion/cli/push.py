"""upload a model folder to the Hub, with a card made from its config and results"""

import argparse
import tempfile
from pathlib import Path

from speech_emotion.cli import CommandError, add_model_arguments, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    add_model_arguments(parser, what="model folder")
    parser.add_argument(
        "--repo", required=True, metavar="ID", help="you/name; made when it does not exist"
    )
    parser.add_argument("--private", action="store_true", help="push to a private repo only")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="results files of speech-emotion evaluate; the results of these weights go into the "
        "card (default: none)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the card and upload nothing")


def run(options: argparse.Namespace) -> int:
    """Check the folder by loading it, make its card, upload both.

    Returns:
        0.
    """
    from corpus_builder.hub import push_folder
    from speech_emotion.predict.fitting import copy_model
    from speech_emotion.training.model_card import card_to_push, read_results

    folder = Path(options.model)
    if not folder.is_dir():
        raise CommandError(f"{options.model}: no such folder")
    config = load_model(options, transcriber="none").model.config
    if options.results and config.logit_bias is not None:
        raise CommandError("--results: the model has been adapted since they were measured")
    try:
        results = [read_results(path) for path in options.results]
    except ValueError as error:
        raise CommandError(f"--results {error}") from error
    card = card_to_push(config, folder, results, repo=options.repo)
    if options.dry_run:
        print(card, end="")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        copy_model(folder, Path(scratch))
        (Path(scratch) / "README.md").write_text(card, encoding="utf-8")
        commit = push_folder(
            Path(scratch), options.repo, message="Upload model", private=options.private
        )
    print(commit.repo_url)
    return 0

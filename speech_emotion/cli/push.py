"""upload a model folder to the Hub, with a card made from its config and results"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from speech_emotion.cli import CommandError
from speech_emotion.predict.loading import DEFAULT_MODEL, is_plain, load_classifier, one_line

FILES = ("*.json", "*.safetensors", "*.txt", "*.py", "onnx/*.onnx")
"""What a model folder is made of; nothing else in it leaves this machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder")
    parser.add_argument("--repo", required=True, help="you/name; made when it is not there")
    parser.add_argument("--private", action="store_true", help="when it is made")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="written by evaluate_benchmarks.py; what they say of these weights goes into the card",
    )
    parser.add_argument("--dry-run", action="store_true", help="write the card to the screen")


def run(options: argparse.Namespace) -> int:
    """Check the folder by loading it, make its card, upload both.

    Returns:
        0.
    """
    folder = Path(options.model)
    if not folder.is_dir():
        raise CommandError(f"{options.model}: no such folder")
    config = load_classifier(options.model, transcriber="none").model.config
    if options.results and config.logit_bias is not None:
        raise CommandError("--results: the model has been fitted to recordings since")
    card = _card(config, folder, [_read(path) for path in options.results], options.repo)
    if options.dry_run:
        print(card, end="")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        for pattern in FILES:
            for file in folder.glob(pattern):
                target = Path(scratch) / file.relative_to(folder)
                target.parent.mkdir(exist_ok=True)
                shutil.copy(file, target)
        (Path(scratch) / "README.md").write_text(card, encoding="utf-8")
        print(_upload(Path(scratch), options.repo, private=options.private))
    return 0


def _card(config: Any, folder: Path, results: list[dict[str, Any]], repo: str) -> str:
    from speech_emotion.training.model_card import card_of, weights_hash, with_results

    card = card_of(config, folder, plain=is_plain(folder))
    return with_results(card, results, weights=weights_hash(folder), name=repo.split("/")[-1])


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"--results {path}: cannot be read") from error
    if not isinstance(results, dict) or not {"benchmark", "rows"} <= set(results):
        raise CommandError(f"--results {path}: not written by evaluate_benchmarks.py")
    return results


def _upload(folder: Path, repo: str, *, private: bool) -> str:
    """Return the address of the repo."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Upload model")
    except Exception as error:  # network, authorisation and names share no base class
        raise CommandError(f"--repo {repo}: {one_line(error)}") from error
    return str(made)

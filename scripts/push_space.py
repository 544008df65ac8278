"""Push the demo to a Hub Space: `python scripts/push_space.py you/name --model you/model`."""

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path
from shutil import copytree, ignore_patterns

from huggingface_hub import HfApi, metadata_load, metadata_save
from huggingface_hub.errors import HTTPError

ROOT = Path(__file__).resolve().parent.parent

LIBRARY = ("hub_model", "corpus_builder", "speech_emotion")
"""Packages that `/v1/predict` needs. They are pushed as they are: the Hub installs
`requirements.txt` before it copies the other files of a Space, so a wheel among them is not found.
"""


def push_space(repo: str, *, model: str | None = None, private: bool = False) -> str:
    """Upload `space/` with the example clips and the library; its card gets the id of the model.

    The requirements of `speech-emotion serve` are added to those of the Space. Files of an earlier
    push that are no longer among them are deleted by the same commit.

    Args:
        repo: id of the Space; it is created if it does not exist.
        model: Hub id of the model; the one in `space/README.md` if not given.
        private: whether a new Space is private.

    Returns:
        The address of the Space.
    """
    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "space"
        unwanted = ignore_patterns("__pycache__", ".gradio")
        copytree(ROOT / "space", staged, ignore=unwanted)
        for name in ("examples", *LIBRARY):
            copytree(ROOT / name, staged / name, ignore=unwanted)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        with (staged / "requirements.txt").open("a", encoding="utf-8") as requirements:
            requirements.writelines(f"{x}\n" for x in project["optional-dependencies"]["serve"])
        if model is not None:
            card = staged / "README.md"
            front = metadata_load(card)
            datasets = [name for name in front["datasets"] if not name.startswith("your-name/")]
            metadata_save(card, {**front, "models": [model], "datasets": datasets})
        api.create_repo(repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            repo_type="space",
            folder_path=staged,
            delete_patterns="*",  # of those that are not uploaded
            commit_message="Update the demo",
        )
    return f"{api.endpoint}/spaces/{repo}"


def main() -> int:
    """Run from the command line; 2 with one line on standard error if the upload fails."""
    parser = argparse.ArgumentParser(description="Push the demo to a Hub Space.")
    parser.add_argument("repo", help="id of the Space, such as you/name")
    parser.add_argument("--model", help="Hub id of the model that it serves")
    parser.add_argument("--private", action="store_true", help="make a new Space private")
    options = parser.parse_args()
    try:
        print(push_space(options.repo, model=options.model, private=options.private))
    except (HTTPError, OSError, ValueError) as error:
        print(f"push_space: {str(error).strip().splitlines()[0]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the code that travels with a checkpoint: what `trust_remote_code=True` runs.

    python scripts/write_checkpoint_code.py checkpoints/mini

Copies the modules of `hub_model/` beside the weights, as `save_pretrained` of the pipeline does,
and deletes those that are no longer there.
"""

import argparse
import shutil
import sys
from pathlib import Path

HUB_MODEL = Path(__file__).resolve().parent.parent / "hub_model"


def modules() -> list[Path]:
    """The files that ship, in alphabetical order."""
    return sorted(path for path in HUB_MODEL.glob("*.py") if path.name != "__init__.py")


def main(arguments: list[str] | None = None) -> int:
    """Write the code; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="+", help="folder of a checkpoint")
    for folder in parser.parse_args(arguments).checkpoint:
        if not (folder / "config.json").is_file():
            print(f"{folder}: no checkpoint, it has no config.json", file=sys.stderr)
            return 2
        for path in folder.glob("*.py"):
            path.unlink()
        for path in modules():
            shutil.copy(path, folder / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the code that is stored with a checkpoint: what `trust_remote_code=True` runs.

    python scripts/write_checkpoint_code.py checkpoints/mini

Copies the modules of `hub_model/` into the folder and deletes those that no longer exist.
"""

import argparse
import sys
from pathlib import Path

from speech_emotion.predict.fitting import write_code


def main(arguments: list[str] | None = None) -> int:
    """Write the code; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="+", help="folder of a checkpoint")
    for folder in parser.parse_args(arguments).checkpoint:
        if not (folder / "config.json").is_file():
            print(f"{folder}: not a checkpoint, it has no config.json", file=sys.stderr)
            return 2
        write_code(folder, clear=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Model folders whose own code leaves a mark when it runs."""

import json
import shutil
from pathlib import Path


def write_marked(source: Path, folder: Path, mark: Path, *, model_type: str | None = None) -> Path:
    """Copy a model folder; every module of the copy writes a file when it is imported.

    Args:
        source: a custom checkpoint.
        folder: the copy.
        mark: the file.
        model_type: another type for config and code, which the installed code does not know.
    """
    shutil.copytree(source, folder)
    for path in folder.glob("*.py"):
        code = path.read_text()
        if model_type is not None:
            code = code.replace('model_type = "hubert_bert"', f'model_type = "{model_type}"')
        path.write_text(f"{code}\n__import__('pathlib').Path({str(mark)!r}).touch()\n")
    if model_type is not None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": model_type}))
    return folder

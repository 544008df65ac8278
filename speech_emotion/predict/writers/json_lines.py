"""JSON lines: a line for each recording, with all that the pipeline returns."""

import json
from pathlib import Path
from typing import Any

from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.base import OneFile, Result


def as_json(file: str, result: Result) -> str:
    """Return the line of one recording."""
    return json.dumps({"file": file, **result}, ensure_ascii=False) + "\n"


class JsonLines(OneFile):
    """A file of JSON lines; see :class:`OneFile`."""

    errors = "backslashreplace"
    """JSON must be UTF-8; what is not, in the name of a file, is written as an escape of JSON."""

    def _text(self, file: str, result: Result) -> str:
        return as_json(file, result)

    def _kept(self, path: Path, text: str) -> tuple[str, list[dict[str, Any]]]:
        try:
            return text, [json.loads(line) for line in text.split("\n")[:-1]]
        except json.JSONDecodeError as error:
            raise PredictError(f"--out {path}: not JSON lines; name another file") from error

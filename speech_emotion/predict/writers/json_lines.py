"""JSON lines: a line for each recording, with all that the pipeline returns."""

import json
from pathlib import Path
from typing import Any

from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.base import OneFile, Result, readable


def as_json(file: str, result: Result) -> str:
    """Return the line of one recording."""
    return json.dumps({"file": readable(file), **result}, ensure_ascii=False) + "\n"


class JsonLines(OneFile):
    """A file of JSON lines; see :class:`OneFile`."""

    errors = "backslashreplace"
    """JSON must be UTF-8; what is not, in the name of a file, is written as an escape of JSON."""

    def name_of(self, file: str) -> str:
        """The name of a recording, as the file has it."""
        return readable(file)

    def _text(self, file: str, result: Result) -> str:
        return as_json(file, result)

    def compare(self, file: str, result: Result) -> None:
        """As of a table; other options also show in the keys, or in the number of emotions."""
        super().compare(file, result)
        kept = self._example or {}
        same = set(kept) - {"file", "speaker"} == set(result)
        if not same or len(kept["emotions"]) != len(result["emotions"]):
            raise PredictError(
                f"--out {self._path}: holds results of other options; name another file"
            )

    def _first(self, result: Result) -> dict[str, Any]:
        return result

    def _answer(self, entry: dict[str, Any]) -> tuple[str, float]:
        emotions = entry.get("emotions") or [{"label": "", "score": 0.0}]
        return emotions[0]["label"], float(emotions[0]["score"])

    def _cut(self, entry: dict[str, Any]) -> tuple[str, float]:
        first = next(iter(entry.get("windows") or ()), {"start": 0.0, "end": 0.0})
        return ", ".join(entry.get("speakers") or ()), first["end"] - first["start"]

    def _kept(self, path: Path, text: str) -> tuple[str, list[dict[str, Any]]]:
        try:
            return text, [json.loads(line) for line in text.split("\n")[:-1]]
        except json.JSONDecodeError as error:
            raise PredictError(f"--out {path}: not JSON lines; name another file") from error

"""CSV: a line for each recording, segment or window."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub_model.timeline import NO_SPEECH
from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.base import OneFile, Result, Screen


def columns_of(
    labels: Sequence[str],
    *,
    segments: bool,
    windows: bool,
    contributions: bool,
    dimensions: bool = False,
    speakers: bool = False,
    overlap: bool = False,
) -> list[str]:
    """Return the columns of a table.

    Args:
        labels: those of the results.
        segments: a line for each segment instead of each recording.
        windows: with ``segments``, a line for each window.
        contributions: with the audio-only and text-only probabilities of a recording.
        dimensions: with valence and arousal of a recording or window.
        speakers: with the speaker.
        overlap: with ``true`` where another speaker has a turn at the same time.
    """
    scores = [] if segments and not windows else list(labels)
    moved = [f"{kind}_{label}" for kind in ("audio", "text") for label in labels]
    return [
        "file",
        *(["speaker"] if speakers else []),
        *(["start", "end"] if segments else []),
        *("label", "score"),
        *scores,
        *([*moved, "moved_audio", "moved_text"] if contributions and not segments else []),
        *(["valence", "arousal"] if dimensions and (windows or not segments) else []),
        *(["overlap"] if overlap else []),
        *(["transcript"] if not windows else []),
        *("note", "error"),
    ]


def as_csv(file: str, result: Result, columns: Sequence[str]) -> str:
    """Return the lines of one recording in a table with these columns."""
    first = {"file": file, "speaker": result.get("speaker")}
    return _lines([{**first, **line} for line in _entries(result, columns)], columns)


def header_of(columns: Sequence[str]) -> str:
    """Return the first line of a table."""
    return _lines([dict(zip(columns, columns, strict=True))], columns)


def csv_screen(columns: Sequence[str]) -> Screen:
    """Return a writer to standard output."""
    return Screen(lambda file, result: as_csv(file, result, columns), header=header_of(columns))


class CsvTable(OneFile):
    """A CSV file; see :class:`OneFile`."""

    def __init__(self, path: Path, *, resume: bool, columns: Sequence[str]) -> None:
        self._columns = columns
        super().__init__(path, resume=resume, header=header_of(columns))

    def _text(self, file: str, result: Result) -> str:
        return as_csv(file, result, self._columns)

    def _first(self, result: Result) -> dict[str, Any]:
        return _entries(result, self._columns)[0]

    def _answer(self, entry: dict[str, Any]) -> tuple[str, float]:
        return entry.get("label") or "", float(entry.get("score") or 0.0)

    def _cut(self, entry: dict[str, Any]) -> tuple[str, float]:
        if "start" not in self._columns:
            return "", 0.0
        # A speaker of the table of recordings is not in the results.
        speaker = entry.get("speaker") or "" if "overlap" in self._columns else ""
        return speaker, float(entry.get("end") or 0) - float(entry.get("start") or 0)

    def _kept(self, path: Path, text: str) -> tuple[str, list[dict[str, Any]]]:
        header = header_of(self._columns)
        if text and not text.startswith(header):
            raise PredictError(f"--out {path}: has other columns; name another file")
        rows = list(csv.DictReader(io.StringIO(text)))
        if "start" in self._columns and rows:
            # Lines of the last recording may be missing, so it is done again.
            last = rows[-1]["file"]
            rows = [row for row in rows if row["file"] != last]
            text = header + _lines(rows, self._columns)
        return text, rows


def _lines(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()


def overlap_text(entry: dict[str, Any]) -> dict[str, str]:
    """The mark of overlap as the table has it, where an entry has one."""
    mark = entry.get("overlap")
    return {} if mark is None else {"overlap": str(mark).lower()}


def _entries(result: Result, columns: Sequence[str]) -> list[dict[str, Any]]:
    if "error" in result:
        return [result]
    if "start" in columns:
        entries = result["segments"] if "transcript" in columns else result["windows"]
        silent = {"start": 0.0, "end": result["seconds"], "label": NO_SPEECH, "score": None}
        return [
            {
                **entry,
                "note": result["note"],
                **(entry.get("scores") or {}),
                **(entry.get("dimensions") or {}),
                **overlap_text(entry),
            }
            for entry in entries or [silent]  # no channel of it holds speech
        ]
    scores = {emotion["label"]: emotion["score"] for emotion in result["emotions"]}
    best = result["emotions"][0] if scores else {"label": NO_SPEECH, "score": None}
    if result.get("abstained") and scores:
        best = {**best, "label": None}
    shares: dict[str, float | None] = {}
    if result.get("contributions"):
        parts = result["contributions"]
        for kind in ("audio", "text"):
            named = (parts[kind] or {}).items()
            shares |= {f"{kind}_{label}": score for label, score in named}
            shares[f"moved_{kind}"] = parts["moved"][kind]
    texts = {"transcript": result["transcript"], "note": result["note"]}
    return [{**best, **scores, **shares, **(result.get("dimensions") or {}), **texts}]

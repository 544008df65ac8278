"""Writers of results, one module a format."""

from collections.abc import Sequence
from pathlib import Path

from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.audacity import as_audacity
from speech_emotion.predict.writers.base import OneFileEach, Screen, Writer
from speech_emotion.predict.writers.chart import as_chart, as_line
from speech_emotion.predict.writers.csv_table import CsvTable, columns_of, csv_screen
from speech_emotion.predict.writers.json_lines import JsonLines, as_json
from speech_emotion.predict.writers.srt import as_srt
from speech_emotion.predict.writers.vtt import as_vtt

SUBTITLES = {"srt": (".srt", as_srt), "vtt": (".vtt", as_vtt), "audacity": (".txt", as_audacity)}
"""Formats with one file for each recording: its suffix, and the function that writes it."""

CHARTS = 8
"""Up to this many recordings the screen shows bars, for more a line each."""


def make_writer(
    kind: str,
    *,
    out: Path | None,
    files: Sequence[str],
    resume: bool,
    labels: Sequence[str],
    segments: bool,
    windows: bool,
    contributions: bool,
    speakers: bool = False,
) -> Writer:
    """Make the writer of a format.

    Args:
        kind: ``table``, ``json``, ``csv`` or one of :data:`SUBTITLES`.
        out: file, or folder for subtitles of several recordings; standard output when not given.
        files: all recordings.
        resume: keep what ``out`` holds.
        labels: those of the results.
        segments, windows, contributions, speakers: what the results hold, for the columns of CSV.

    Raises:
        PredictError: ``out`` exists and ``resume`` is not set, cannot be written, is of another
            kind, or is missing.
    """
    if kind in SUBTITLES:
        suffix, show = SUBTITLES[kind]
        if out is not None:
            return OneFileEach(out, files, suffix=suffix, show=show, resume=resume)
        if len(files) > 1:
            raise PredictError(f"--format {kind} of several clips needs --out FOLDER")
        return Screen(lambda _, result: show(result))
    if kind == "csv":
        columns = columns_of(
            labels,
            segments=segments,
            windows=windows,
            contributions=contributions,
            speakers=speakers,
        )
        return csv_screen(columns) if out is None else CsvTable(out, resume=resume, columns=columns)
    if out is not None:
        return JsonLines(out, resume=resume)
    if kind == "json":
        return Screen(as_json)
    return Screen(as_chart if len(files) <= CHARTS else as_line)

"""Writers of results, one module a format."""

from collections.abc import Callable, Sequence
from pathlib import Path

from speech_emotion.predict import PredictError
from speech_emotion.predict.writers.audacity import as_audacity
from speech_emotion.predict.writers.base import OneFileEach, Result, Screen, Writer
from speech_emotion.predict.writers.chart import as_chart, as_line
from speech_emotion.predict.writers.csv_table import CsvTable, columns_of, csv_screen
from speech_emotion.predict.writers.eaf import as_eaf
from speech_emotion.predict.writers.json_lines import JsonLines, as_json
from speech_emotion.predict.writers.labelstudio import as_labelstudio
from speech_emotion.predict.writers.rttm import as_rttm
from speech_emotion.predict.writers.srt import as_srt
from speech_emotion.predict.writers.textgrid import as_textgrid
from speech_emotion.predict.writers.vtt import as_vtt

ONE_EACH: dict[str, tuple[str, Callable[[str, Result], str]]] = {
    "srt": (".srt", lambda _, result: as_srt(result)),
    "vtt": (".vtt", lambda _, result: as_vtt(result)),
    "audacity": (".txt", lambda _, result: as_audacity(result)),
    "textgrid": (".TextGrid", lambda _, result: as_textgrid(result)),
    "eaf": (".eaf", as_eaf),
    "labelstudio": (".json", as_labelstudio),
    "rttm": (".rttm", as_rttm),
}
"""Formats with one file for each recording, of its segments: suffix, and what writes it."""

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
    dimensions: bool = False,
    speakers: bool = False,
    overlap: bool = False,
) -> Writer:
    """Make the writer of a format.

    Args:
        kind: ``table``, ``json``, ``csv``, ``parquet`` or one of :data:`ONE_EACH`.
        out: file, or folder for several recordings in one of :data:`ONE_EACH`; standard output
            when not given.
        files: all recordings.
        resume: keep what ``out`` holds.
        labels: those of the results.
        segments, windows, contributions, dimensions, speakers, overlap: what the results hold,
            for the columns.

    Raises:
        PredictError: ``out`` exists and ``resume`` is not set, cannot be written, is of another
            kind, or is missing.
    """
    if kind in ONE_EACH:
        suffix, show = ONE_EACH[kind]
        if out is not None:
            return OneFileEach(out, files, suffix=suffix, show=show, resume=resume)
        if len(files) > 1:
            raise PredictError(f"--format {kind} of several clips needs --out FOLDER")
        return Screen(show)
    if kind in ("csv", "parquet"):
        columns = columns_of(
            labels,
            segments=segments,
            windows=windows,
            contributions=contributions,
            dimensions=dimensions,
            speakers=speakers,
            overlap=overlap,
        )
        if out is None:
            return csv_screen(columns)
        if kind == "csv":
            return CsvTable(out, resume=resume, columns=columns)
        from speech_emotion.predict.writers.parquet import ParquetTable  # pyarrow is slow to import

        return ParquetTable(out, resume=resume, columns=columns)
    if out is not None:
        return JsonLines(out, resume=resume)
    if kind == "json":
        return Screen(as_json)
    return Screen(as_chart if len(files) <= CHARTS else as_line)

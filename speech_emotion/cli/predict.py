"""emotions of one recording or of many"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from speech_emotion.cli import CommandError
from speech_emotion.predict.clips import Paths, find_clips
from speech_emotion.predict.formats import (
    as_audacity,
    as_chart,
    as_csv,
    as_json,
    as_line,
    as_srt,
    as_vtt,
    csv_columns,
    csv_lines,
)
from speech_emotion.predict.loading import DEFAULT_MODEL, load_classifier
from speech_emotion.predict.results import Lines, OneEach, Results, Screen

SUBTITLES = {"srt": (".srt", as_srt), "vtt": (".vtt", as_vtt), "audacity": (".txt", as_audacity)}

CHARTS = 8
"""Up to so many clips the screen shows bars, for more a line each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="FILE|FOLDER|GLOB|-",
        help="recordings; - reads names from standard input, one a line",
    )
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="folder or Hub id")
    said = parser.add_argument_group("what is said")
    said.add_argument("--text", help="the transcript of one clip, when it is known")
    said.add_argument(
        "--transcriber",
        help="transformers id or folder, openai-whisper:NAME, or none; the model's own otherwise",
    )
    said.add_argument("--language", help="spoken language; detected when not given")
    said.add_argument("--transcript-cache", metavar="FOLDER", help="keep transcripts here")
    said.add_argument(
        "--short-context",
        action="store_true",
        default=None,
        help="Whisper encodes the clip instead of 30 s: faster, but it may hear other words",
    )
    answer = parser.add_argument_group("the answer")
    answer.add_argument("--top-k", type=int, metavar="N", help="only the N likeliest emotions")
    answer.add_argument(
        "--labels",
        type=_labels,
        metavar="LABELS",
        help="four_class, valence or arousal; angry,happy,sad to keep these; "
        "or happy=positive,calm= to rename, merge or leave out",
    )
    answer.add_argument("--abstain-below", type=float, metavar="P", help="0 to 1")
    answer.add_argument("--contributions", action="store_true", help="audio and text alone, too")
    sound = parser.add_argument_group("the audio")
    sound.add_argument("--no-clean", action="store_true", help="the audio is already cleaned")
    sound.add_argument("--no-speech-check", action="store_true", help="answer for noise, too")
    sound.add_argument("--segments", action="store_true", help="a timeline of long recordings")
    sound.add_argument("--windows", action="store_true", help="in CSV, a row a window")
    sound.add_argument("--window-s", type=float, metavar="SECONDS", help="length of a window: 4")
    sound.add_argument("--hop-s", type=float, metavar="SECONDS", help="step: half a window")
    sound.add_argument("--smoothing", type=int, metavar="N", help="windows that are averaged: 3")
    work = parser.add_argument_group("the work")
    work.add_argument("--batch-size", type=int, default=8, metavar="N", help="clips at once: 8")
    work.add_argument("--workers", type=int, default=0, metavar="N", help="processes: 0")
    work.add_argument("--engine", choices=("here", "ray"), default="here")
    work.add_argument(
        "--backend", choices=("torch", "onnx"), help="onnx: a model that was exported"
    )
    work.add_argument(
        "--precision", choices=("fp32", "bf16", "int8"), help="less exact numbers for more speed"
    )
    result = parser.add_argument_group("the result")
    result.add_argument("--format", choices=("table", "json", "csv", *SUBTITLES), default="table")
    result.add_argument("--out", type=Path, help="file; for subtitles of several clips a folder")
    result.add_argument("--resume", action="store_true", help="keep what --out holds, add the rest")


def run(options: argparse.Namespace) -> int:
    """Answer every recording.

    Returns:
        0 when every recording was answered, 1 when some were not, 2 when none was.
    """
    _refuse_contradictions(options)
    files = find_clips(options.clips)
    if options.text is not None and len(files) > 1:
        raise CommandError("--text is the transcript of one clip, and there are several")
    asked = _pipeline_options(options)
    with _scoring(options, asked) as (score, labels):
        results = _results(options, files, labels)
        todo = results.missing(files)
        failed = results.failed_before
        shown = options.out is not None or not sys.stdout.isatty()
        with tqdm(total=len(todo), unit="clip", disable=None if shown else True) as bar:
            for file, row in zip(todo, score(todo), strict=True):
                results.write(file, row)
                bar.update()
                if "error" in row:
                    failed += 1
                    print(f"speech-emotion: {row['error']}", file=sys.stderr)
    if failed >= len(files):
        return 2
    return 1 if failed else 0


def _refuse_contradictions(options: argparse.Namespace) -> None:
    if options.format in SUBTITLES:
        options.segments = True
    if options.windows and (options.format != "csv" or not options.segments):
        raise CommandError("--windows needs --segments and --format csv")
    if options.resume and options.out is None:
        raise CommandError("--resume needs --out")
    if options.out is not None and options.format == "table":
        raise CommandError("--out needs a --format: json, csv, srt, vtt or audacity")
    if options.workers < 0 or options.batch_size < 1:
        raise CommandError("--workers must be 0 or more, and --batch-size 1 or more")


def _pipeline_options(options: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of a call; checked before a model is loaded."""
    from hub_model.results import Options

    named = ("top_k", "labels", "abstain_below", "contributions", "window_s", "hop_s", "smoothing")
    asked = {name: getattr(options, name) for name in named}
    asked |= {"return_transcript": True, "return_segments": options.segments}
    asked |= {"clean": not options.no_clean, "check_speech": not options.no_speech_check}
    try:
        Options(**asked)
    except ValueError as error:
        raise CommandError(str(error)) from error
    asked |= {"batch_size": options.batch_size, "num_workers": options.workers}
    if options.text is not None:
        if options.segments and options.text:
            raise CommandError("--text cannot be shared out to segments; only an empty one can")
        asked["text"] = [options.text]
    return asked


@contextmanager
def _scoring(options: argparse.Namespace, asked: dict[str, Any]) -> Iterator[tuple[Any, list[str]]]:
    """A function from files to rows, and the labels that the rows have."""
    from hub_model.labels import Labels

    loading = {
        "transcriber": options.transcriber,
        "language": options.language,
        "transcript_cache": options.transcript_cache,
        "short_context": options.short_context,
        "backend": options.backend,
        "precision": options.precision,
    }
    loading = {name: value for name, value in loading.items() if value is not None}
    classifier = load_classifier(options.model, **loading)
    try:
        labels = Labels(list(classifier.model.config.id2label.values()), options.labels).names
    except ValueError as error:
        raise CommandError(str(error)) from error
    if options.engine == "ray":
        from speech_emotion.predict.ray_engine import RayScorer

        del classifier
        with RayScorer(options.model, loading, asked, workers=max(1, options.workers)) as scorer:
            yield scorer.rows, labels
        return
    yield lambda files: classifier(Paths(files), **asked), labels


def _results(options: argparse.Namespace, files: Sequence[str], labels: list[str]) -> Results:
    columns = csv_columns(
        labels, segments=options.segments, windows=options.windows, shares=options.contributions
    )
    if options.format in SUBTITLES:
        suffix, show = SUBTITLES[options.format]
        if options.out is not None:
            return OneEach(options.out, files, suffix=suffix, show=show, resume=options.resume)
        if len(files) > 1:
            raise CommandError(f"--format {options.format} of several clips needs --out FOLDER")
        return Screen(lambda _, row: show(row))
    if options.out is not None:
        columns = columns if options.format == "csv" else None
        return Lines(options.out, resume=options.resume, columns=columns)
    if options.format == "csv":
        header = csv_lines([dict(zip(columns, columns, strict=True))], columns)
        return Screen(lambda file, row: as_csv(file, row, columns), header=header)
    if options.format == "json":
        return Screen(as_json)
    return Screen(as_chart if len(files) <= CHARTS else as_line)


def _labels(text: str) -> Any:
    """Read ``--labels``: a name, a list, or a mapping; an empty new name leaves a label out."""
    if "=" in text:
        pairs = [entry.partition("=") for entry in text.split(",")]
        if any(not separator for _, separator, _ in pairs):
            raise argparse.ArgumentTypeError(f"{text!r}: every entry needs a =")
        return {old.strip(): new.strip() or None for old, _, new in pairs}
    names = [name.strip() for name in text.split(",")]
    from hub_model.labels import LABEL_SETS

    return names[0] if len(names) == 1 and names[0] in LABEL_SETS else names

"""classify the emotion of one recording or of many"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from speech_emotion import cli
from speech_emotion.cli import add_model_arguments, add_work_arguments, print_error, print_note
from speech_emotion.predict import FORMATS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="FILE|FOLDER|GLOB|TABLE|-",
        help="recordings; folders are searched; a table (.csv, .tsv) has the column path and, if "
        "there are any, transcript and speaker; - reads a recording from standard input, or names, "
        "one a line",
    )
    add_model_arguments(parser)
    _add_transcript(parser.add_argument_group("transcript"))
    result = parser.add_argument_group("result")
    result.add_argument(
        "--top-k", type=int, metavar="N", help="only the N most likely emotions (default: all)"
    )
    result.add_argument(
        "--contributions",
        action="store_true",
        help="add the audio-only and text-only probabilities",
    )
    add_result(result)
    _add_audio(parser.add_argument_group("audio"))
    _add_work(parser.add_argument_group("speed"))
    _add_output(parser.add_argument_group("output"))


def run(options: argparse.Namespace) -> int:
    """Predict every recording.

    Returns:
        0 when every recording has a result, 1 when some have none, 2 when none has one.
    """
    from speech_emotion.predict.loading import quiet
    from speech_emotion.predict.onnx_model import is_exported

    if options.backend is None and is_exported(options.model):
        options.backend = "onnx"
    quiet(backend=options.backend)
    from speech_emotion.predict.run import Prediction

    known = {field.name for field in fields(Prediction)}
    job = Prediction(**{name: value for name, value in vars(options).items() if name in known})
    clips, failed = job.run(print_error, print_note)
    if job.summary and cli.NOTES:
        shown = options.out is not None or options.format == "table"
        print(f"\n{job.summary}", file=sys.stdout if shown else sys.stderr)
    if failed >= clips:
        return 2
    return 1 if failed else 0


def _add_transcript(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--text", metavar="TEXT", help="the transcript, if it is known; of one clip")
    add_transcriber(group)


def add_transcriber(group: argparse._ArgumentGroup) -> None:
    """Add the options of the transcriber, which ``predict``, ``serve`` and ``embed`` share."""
    group.add_argument(
        "--transcriber",
        metavar="NAME",
        help="transformers id or folder, openai-whisper:NAME, faster-whisper:NAME, or none "
        "(default: the model's own)",
    )
    group.add_argument(
        "--language", metavar="CODE", help="spoken language, such as en (default: detected)"
    )
    group.add_argument(
        "--transcript-cache",
        metavar="FOLDER",
        help="keep transcripts in this folder and use those it holds (default: none are kept)",
    )
    group.add_argument(
        "--short-context",
        action="store_true",
        help="let Whisper encode the length of the clip instead of 30 s: faster, but the "
        "transcript may differ",
    )


def add_result(group: argparse._ArgumentGroup) -> None:
    """Add the options of a result that ``predict`` and ``live`` share."""
    group.add_argument(
        "--labels",
        metavar="LABELS",
        help="seven_class, four_class, valence or arousal; angry,happy,sad to keep these only; or "
        "happy=positive,calm= to rename, merge or leave out (default: the model's labels)",
    )
    group.add_argument(
        "--abstain-below",
        type=float,
        metavar="P",
        help="give no label when the highest probability is below P, 0 to 1 (default: always one)",
    )
    group.add_argument(
        "--dimensions",
        action="store_true",
        help="add valence and arousal, -1 to 1 (not to segments)",
    )


def _add_audio(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--segments",
        action="store_true",
        help="cut long recordings into windows and segments with a label each",
    )
    group.add_argument(
        "--speakers",
        metavar="NAMES|FILE|auto",
        help="every channel of a recording is one speaker, as in recorded calls: channels; or "
        "their names, such as agent,customer or left=agent,right=customer; or who speaks when: an "
        "RTTM file, or a table (.csv, .tsv) of start, end, speaker and perhaps file; or told by "
        'their voices: auto, which needs pip install "speech-text-emotion[speakers]". Implies '
        "--segments",
    )
    group.add_argument(
        "--num-speakers",
        type=int,
        metavar="N",
        help="with --speakers auto: how many speak in each recording (default: told by the voices)",
    )
    group.add_argument(
        "--windows",
        action="store_true",
        help="with --segments and --format csv or parquet: a line for each window instead of each "
        "segment",
    )
    add_windows(group)


def add_windows(group: argparse._ArgumentGroup, *, smoothing: int = 3) -> None:
    """Add the options of windows and of cleaning; ``smoothing`` is the pipeline's default."""
    group.add_argument(
        "--no-clean",
        dest="clean",
        action="store_false",
        help="skip noise reduction and trimming: the audio is already cleaned",
    )
    group.add_argument(
        "--no-speech-check",
        dest="check_speech",
        action="store_false",
        help="classify noise as well, instead of reporting that there is no speech",
    )
    group.add_argument(
        "--window-s", type=float, metavar="SECONDS", help="length of a window (default: 4)"
    )
    group.add_argument(
        "--hop-s",
        type=float,
        metavar="SECONDS",
        help="time from one window to the next (default: half a window)",
    )
    group.add_argument(
        "--smoothing",
        type=int,
        metavar="N",
        help=f"windows in the moving average, an odd number; 1: none (default: {smoothing})",
    )


def _add_work(group: argparse._ArgumentGroup) -> None:
    add_work_arguments(group)
    group.add_argument(
        "--engine",
        type=lambda name: "processes" if name == "here" else name,
        choices=("processes", "ray"),
        default="processes",
        help="run on this machine or on a Ray cluster (default: %(default)s)",
    )
    add_backend(group)


def add_backend(group: argparse._ArgumentGroup) -> None:
    """Add ``--backend`` and ``--precision``."""
    group.add_argument(
        "--backend",
        choices=("torch", "onnx"),
        help="onnx: for a model written by export --onnx; it starts faster and needs less memory "
        "(default: what the model's folder holds, torch if both)",
    )
    group.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "int8"),
        default="auto",
        help="auto: bf16 on a CPU that is faster with it, otherwise fp32; int8 needs less memory "
        "(default: %(default)s)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="table",
        help="; ".join(f"{name}: {what}" for name, what in FORMATS.items())
        + " (default: %(default)s)",
    )
    group.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write here; for several recordings in srt or a format after it, a folder "
        "(default: the screen)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="keep the results that --out holds and add those that are missing",
    )

"""write the pooled vectors of recordings or of their segments, as parquet or npz"""

import argparse
from dataclasses import fields
from pathlib import Path

from speech_emotion.cli import add_model_arguments, print_error, print_note
from speech_emotion.cli.predict import add_transcriber


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="FILE|FOLDER|GLOB|TABLE|-",
        help="recordings, as for predict; a transcript in a table is encoded as well",
    )
    add_model_arguments(parser)
    transcript = parser.add_argument_group("transcript")
    add_transcriber(transcript)
    transcript.set_defaults(transcriber="none")
    audio = parser.add_argument_group("audio")
    audio.add_argument(
        "--segments",
        action="store_true",
        help="a vector for each segment with speech, instead of each recording",
    )
    audio.add_argument(
        "--window-s",
        type=float,
        metavar="SECONDS",
        help="with --segments: length of a window (default: 4)",
    )
    audio.add_argument(
        "--hop-s",
        type=float,
        metavar="SECONDS",
        help="with --segments: time from one window to the next (default: half a window)",
    )
    audio.add_argument(
        "--no-clean",
        dest="clean",
        action="store_false",
        help="skip noise reduction and trimming: the audio is already cleaned",
    )
    audio.add_argument(
        "--no-speech-check",
        dest="check_speech",
        action="store_false",
        help="take noise as well, instead of reporting that there is no speech",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="file to write: .parquet or .npz",
    )
    output.add_argument(
        "--resume",
        action="store_true",
        help="keep the vectors that --out holds and add those that are missing",
    )


def run(options: argparse.Namespace) -> int:
    """Embed every recording.

    Returns:
        0 when every recording has a vector, 1 when some have none, 2 when none has one.
    """
    from speech_emotion.predict.loading import quiet

    quiet()
    from speech_emotion.predict.embedding import Embedding
    from speech_emotion.predict.run import OF_LOADING

    given = {name: value for name, value in vars(options).items() if value is not None}
    known = {field.name for field in fields(Embedding)}
    job = Embedding(
        **{name: value for name, value in given.items() if name in known},
        loading={name: given[name] for name in OF_LOADING if given.get(name)},
    )
    clips, failed = job.run(print_error, print_note)
    if failed >= clips:
        return 2
    return 1 if failed else 0

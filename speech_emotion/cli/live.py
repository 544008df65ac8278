"""listen to a microphone and show the emotion while somebody speaks"""

import argparse
import json
import sys

from speech_emotion.cli import (
    CommandError,
    add_model_arguments,
    load_model,
    print_error,
    print_note,
)
from speech_emotion.cli.predict import add_backend, add_result, add_windows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of the command."""
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE|-",
        help="a recording in place of the microphone; - reads raw samples from standard input: "
        "16-bit integers, little-endian, one channel",
    )
    add_model_arguments(parser)
    group = parser.add_argument_group("sound")
    group.add_argument(
        "--device",
        metavar="DEVICE",
        help="number of the microphone, or a part of its name (default: the system's choice)",
    )
    group.add_argument("--input", metavar="FILE|-", help="the same as FILE")
    group.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help="with -: samples a second (default: 16000)",
    )
    add_windows(parser.add_argument_group("windows"), smoothing=1)
    add_result(parser.add_argument_group("result"))
    add_backend(parser.add_argument_group("speed"))
    parser.add_argument(
        "--format",
        choices=("line", "jsonl"),
        default="line",
        help="line: one line that moves, for the screen; jsonl: a JSON object for each window "
        "(default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Listen until the sound ends or Ctrl-C.

    Returns:
        0.
    """
    from speech_emotion.predict.live import File, Microphone, Source, StandardInput

    if None not in (options.file, options.input):
        raise CommandError("FILE and --input name the same: give one of them")
    options.input = options.file or options.input
    if options.rate is not None and options.input != "-":
        raise CommandError("--rate needs - as FILE: only raw samples have no rate of their own")
    if options.device is not None and options.input is not None:
        raise CommandError("--device is a microphone, and --input takes its place")
    source: Source
    if options.input is None:
        source = Microphone(options.device)
    elif options.input == "-":
        source = StandardInput(*([] if options.rate is None else [options.rate]))
    else:
        source = File(options.input)
    from hub_model.live import OPTIONS
    from speech_emotion.predict.run import read_labels
    from speech_emotion.predict.writers.chart import as_moving_line

    given = {name: getattr(options, name) for name in OPTIONS}
    if given["labels"] is not None:
        given["labels"] = read_labels(given["labels"])
    loading = {"backend": options.backend, "precision": options.precision}
    classifier = load_model(options, transcriber="none", **loading)
    try:
        live = classifier.live(sampling_rate=source.sampling_rate, **given)
    except ValueError as error:
        raise CommandError(str(error)) from error
    moves = options.format == "line" and sys.stdout.isatty()

    def show(rows: list[dict]) -> None:
        for row in rows:
            line = json.dumps(row) if options.format == "jsonl" else as_moving_line(row)
            print(f"\r\x1b[K{line}" if moves else line, end="" if moves else "\n", flush=True)

    print_note(f"listening to {source.name}; Ctrl-C ends")
    try:
        for block in source.blocks():
            show(live.add(block))
    except KeyboardInterrupt:
        pass
    finally:
        show(live.finish())
        if moves:
            print()
        if lost := getattr(source, "lost_s", 0):
            print_error(f"{lost:.1f} s were not heard: the model is slower than the microphone")
    return 0

"""Command line: ``python -m hub_model predict CLIP ...``."""

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "checkpoints" / "mini"
BAR_WIDTH = 40


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 when every clip was answered, 1 when some were not, 2 when none was or the command
        cannot be carried out.
    """
    options = _parser().parse_args(arguments)
    try:
        recogniser = _load(options.model, options.transcriber)
    except Exception as error:  # a folder with a damaged file fails in many ways
        reason = _one_line(error).removeprefix(f"{options.model}: ").rstrip(".")
        if _is_hub_id(options.model):
            reason += "; a local model folder needs no network"
        print(f"hub_model: {options.model}: {reason}", file=sys.stderr)
        return 2
    failed = 0
    for clip in options.clips:
        started = time.perf_counter()
        row = recogniser(
            [clip],
            text=None if options.text is None else [options.text],
            clean=not options.no_clean,
            return_transcript=True,
        )[0]
        if "error" in row:
            failed += 1
            print(f"hub_model: {row['error']}", file=sys.stderr)
        elif options.format == "json":
            print(json.dumps({"file": clip, **row}))
        else:
            print(_chart(clip, row, time.perf_counter() - started))
    if failed == len(options.clips):
        return 2
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hub_model", description="Recognise the emotion in recordings of speech."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    predict = commands.add_parser("predict", help="emotions of one clip or several")
    predict.add_argument("clips", nargs="+", metavar="CLIP", help="WAV, FLAC, OGG or MP3 file")
    predict.add_argument("--model", default=str(DEFAULT_MODEL), help="folder or Hub id")
    predict.add_argument("--text", help="the transcript, when it is known")
    predict.add_argument(
        "--transcriber",
        help="transformers id or folder, openai-whisper:NAME, or none; the model's own otherwise",
    )
    predict.add_argument("--no-clean", action="store_true", help="the audio is already cleaned")
    predict.add_argument("--format", choices=("table", "json"), default="table")
    return parser


def _load(model: str, transcriber: str | None) -> Any:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    from transformers import pipeline
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if not Path(model).exists() and not _is_hub_id(model):
        raise OSError("no such folder")
    recogniser = pipeline(
        "audio-classification", model=model, trust_remote_code=True, transcriber=transcriber
    )
    if not getattr(recogniser, "supports_text", False):
        raise ValueError("an audio classifier, but not one that reads speech and text")
    return recogniser


def _is_hub_id(model: str) -> bool:
    return not (Path(model).exists() or model.startswith((".", "/"))) and model.count("/") == 1


def _chart(clip: str, row: dict[str, Any], seconds: float) -> str:
    lines = [clip]
    for emotion in row["emotions"]:
        bar = "█" * round(emotion["score"] * BAR_WIDTH)
        lines.append(f"  {emotion['label']:<10}{emotion['score']:6.1%}  {bar}")
    if row["transcript"]:
        lines.append(f"  transcript: {row['transcript']} ({row['transcript_source']})")
    else:
        lines.append(f"  no transcript: {row['note']}")
    lines.append(f"  {seconds:.2f} s, from {' and '.join(row['modalities'])}")
    return "\n".join(lines)


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if "See the original errors" in lines[0]:
        # transformers quotes whole tracebacks; the cause is the last line of the last one.
        return lines[-1].removeprefix("ValueError: ").removeprefix("OSError: ")
    known = isinstance(error, OSError | ValueError | ImportError)
    return lines[0] if known else f"cannot be loaded ({type(error).__name__}: {lines[0]})"


if __name__ == "__main__":
    # The line on the missing transcript says what the pipeline would warn of.
    logging.getLogger("transformers_modules").setLevel(logging.ERROR)
    sys.exit(main())

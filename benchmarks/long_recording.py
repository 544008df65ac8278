"""Memory and time of recordings of hours.

    python benchmarks/long_recording.py --clips ../shared/data/RAVDESS --speakers auto \\
        --transcriber none --transcriber faster-whisper:tiny.en-ct2/ --alone tiny.en-ct2/

Of RAVDESS, conversations of two to four of the same four speakers are made by the recipe of
`evaluate_benchmarks.py conversation` until a file is as long as asked for. Two sentences said for
an hour are no task for a transcriber, whose guards against repetition try each of them again; the
lines of any other folder, such as those of a game that `recipes.mini.fetch_speech` fetches, are
joined in the order of their names. `speech-emotion predict --segments` classifies the file in its
own process; the largest resident memory of that process and its workers is measured. A file of
half a minute shows the memory of the model and the libraries.
"""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
import torch  # noqa: E402

from benchmarks.processes import run_measured  # noqa: E402
from benchmarks.results_file import make_parser, shown, write_figures  # noqa: E402
from corpus_builder import provenance  # noqa: E402
from corpus_builder.folders import files_below  # noqa: E402
from hub_model.audio import AUDIO_SUFFIXES, SAMPLING_RATE, load_audio  # noqa: E402
from speech_emotion.evaluation import EvaluationError  # noqa: E402
from speech_emotion.evaluation.clips import ClipSet, read_raw_ravdess  # noqa: E402
from speech_emotion.evaluation.conversation_recipe import make_conversations  # noqa: E402

SPEAKERS = 4
PAUSE_S = 0.3

FOR_EVER = 10**6
"""Conversations; as many are made as are needed."""

ALONE = """
import dataclasses, json, sys
from faster_whisper import WhisperModel
found, _ = WhisperModel(sys.argv[1], device="cpu").transcribe(sys.argv[2], word_timestamps=True)
words = [dataclasses.asdict(word) for segment in found for word in segment.words]
json.dump({"words": words}, open(sys.argv[-1], "w"))
"""
"""faster-whisper by itself, with its defaults and the times of words."""


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, model="model folder or Hub id", trust_remote_code=True)
    parser.add_argument("--clips", type=Path, required=True, help="folder of RAVDESS, or of lines")
    parser.add_argument(
        "--minutes",
        type=float,
        nargs="*",
        default=[0.5, 10, 180],
        help="lengths of the recordings (0.5 10 180)",
    )
    parser.add_argument("--speakers", help="as for speech-emotion predict (default: not told)")
    parser.add_argument(
        "--transcriber",
        dest="transcribers",
        action="append",
        help="as for speech-emotion predict; may be repeated (default: none)",
    )
    parser.add_argument(
        "--alone", metavar="FOLDER", help="also run faster-whisper by itself, with these weights"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that decode (%(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=8, help="windows in one forward pass (%(default)s)"
    )
    parser.add_argument(
        "--add", action="store_true", help="keep the measurements that the results file holds"
    )
    arguments = parser.parse_args()

    try:
        clips = read_raw_ravdess(str(arguments.clips))
    except EvaluationError:
        clips = None  # other lines
    runs: list[dict[str, Any]] = []
    for minutes in arguments.minutes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            parts = _conversations(clips) if clips else _lines(arguments.clips)
            _write(folder / "recording.flac", parts, minutes)
            for transcriber in arguments.transcribers or ([] if arguments.alone else ["none"]):
                runs.append(_measure(folder, arguments, minutes, transcriber))
            if arguments.alone:
                command = [sys.executable, "-c", ALONE, str(Path(arguments.alone).resolve())]
                runs.append({"minutes": minutes, "alone": True} | _run(folder, command)[0])
            print(json.dumps(runs, indent=2), flush=True)
    kept = json.loads(arguments.json.read_text()) if arguments.add else {"runs": []}
    figures = {
        "what": "speech-emotion predict --segments on one long recording",
        "model": Path(arguments.model).name,
        "recordings": f"conversations of two to four of the same {SPEAKERS} speakers, made by the "
        "recipe of `evaluate_benchmarks.py conversation`"
        if clips
        else f"the lines of `{arguments.clips.name}`, joined",
        "workers": arguments.workers,
        "batch_size": arguments.batch_size,
        "runs": [*kept["runs"], *runs],
    }
    machine = {"threads": torch.get_num_threads()}
    write_figures(
        arguments.json,
        figures,
        after=kept.get("command"),
        machine=machine,
        packages=(*provenance.PACKAGES, "ctranslate2", "faster-whisper", "torch", "transformers"),
    )


def _measure(
    folder: Path, arguments: argparse.Namespace, minutes: float, transcriber: str
) -> dict[str, Any]:
    told = arguments.speakers
    command = [
        *(sys.executable, "-m", "speech_emotion", "predict"),
        *("--model", arguments.model, "--transcriber", transcriber, "--segments"),
        *("--workers", str(arguments.workers), "--batch-size", str(arguments.batch_size)),
        *(["--speakers", told] if told else []),
        *(["--trust-remote-code"] if arguments.trust_remote_code else []),
        *("--format", "json"),
    ]
    figures, row = _run(folder, command)
    return {
        "minutes": minutes,
        "speakers": told,
        "transcriber": shown(transcriber),
        **figures,
        "windows": len(row["windows"]),
        "windows_without_speech": sum(window["scores"] is None for window in row["windows"]),
        "segments": len(row["segments"]),
        "speakers_found": len(row["speakers"]) if told else None,
    }


def _run(folder: Path, command: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of a command on the recording, and the JSON that it writes."""
    recording, out = folder / "recording.flac", folder / "rows.jsonl"
    out.unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, peak = run_measured([*command, str(recording), "--out", str(out)])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = json.loads(out.read_text(encoding="utf-8"))
    hours = soundfile.info(recording).duration / 3600
    return {
        "peak_mib": peak,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 1),
        "seconds_per_hour_of_audio": round(seconds / hours, 1),
        "words": len(row["words"] or ()),
    }, row


def _conversations(clips: ClipSet) -> Iterator[np.ndarray]:
    clips = clips.only_speakers(sorted(set(clips.speakers))[:SPEAKERS])
    for made in make_conversations(clips, FOR_EVER, seed=0):
        yield made.mixed


def _lines(folder: Path) -> Iterator[np.ndarray]:
    for path in files_below(folder):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            yield np.pad(load_audio(path), (0, round(PAUSE_S * SAMPLING_RATE)))


def _write(path: Path, parts: Iterator[np.ndarray], minutes: float) -> None:
    left = round(minutes * 60 * SAMPLING_RATE)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1) as file:
        for part in parts:
            file.write(part[:left])
            left -= min(left, part.size)
            if not left:
                return
    raise SystemExit(f"the lines are {minutes - left / SAMPLING_RATE / 60:.0f} minutes long")


if __name__ == "__main__":
    main()

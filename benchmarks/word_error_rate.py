"""Word error rate of the transcribers on clips whose sentence is known, and their time.

    python benchmarks/word_error_rate.py --data ../shared/data --transcriber tiny.en/ \
        --transcriber openai-whisper:tiny.en.pt --transcriber faster-whisper:tiny.en-ct2/

Clips of RAVDESS (two sentences) and TESS ("Say the word ...") are drawn at random. Every
transcriber gets one clip after the other, and all take turns clip by clip, so that what else the
machine does weighs on each alike. The words are compared after Whisper's normaliser of English.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import jiwer  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers.utils import logging  # noqa: E402
from whisper.normalizers import EnglishTextNormalizer  # noqa: E402

from benchmarks.results_file import make_parser, shown, write_figures  # noqa: E402
from corpus_builder import provenance  # noqa: E402
from corpus_builder.sources import SOURCES  # noqa: E402
from corpus_builder.sources.base import Utterance  # noqa: E402
from hub_model.audio import SAMPLING_RATE, load_audio  # noqa: E402
from hub_model.transcription import make_transcriber  # noqa: E402

FOLDERS = {"ravdess": "RAVDESS", "tess": "TESS"}
PACKAGES = ("ctranslate2", "faster-whisper", "jiwer", "openai-whisper", "torch", "transformers")


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, data="folder that holds RAVDESS and TESS")
    parser.add_argument(
        "--transcriber",
        dest="transcribers",
        action="append",
        required=True,
        help="as for speech-emotion predict; may be repeated",
    )
    parser.add_argument("--clips", type=int, default=60, help="of each corpus (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (%(default)s)")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    clips = {name: draw(name, arguments) for name in FOLDERS}
    transcribers = {shown(name): make_transcriber(name) for name in arguments.transcribers}
    texts: dict[tuple[str, str], list[str]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in transcribers}
    busy: dict[str, float] = dict.fromkeys(transcribers, 0.0)
    for name, transcriber in transcribers.items():
        if transcriber is None:
            raise SystemExit(f"--transcriber {name}: transcribes nothing")
        transcriber.transcribe([load_audio(clips["ravdess"][0].path)])  # loads it
    for corpus, utterances in clips.items():
        for utterance in utterances:
            waveform = load_audio(utterance.path)
            for name, transcriber in transcribers.items():
                begun, used = time.perf_counter(), time.process_time()
                (transcript,) = transcriber.transcribe([waveform])
                seconds[name].append(time.perf_counter() - begun)
                busy[name] += time.process_time() - used
                texts.setdefault((name, corpus), []).append(transcript.text)
    rows = [
        {
            "transcriber": name,
            **{corpus: scored(clips[corpus], texts[name, corpus]) for corpus in FOLDERS},
            "seconds_a_clip": round(statistics.median(seconds[name]), 3),
            "cpu_seconds_a_clip": round(busy[name] / len(seconds[name]), 3),
        }
        for name in transcribers
    ]
    every = [load_audio(one.path).size / SAMPLING_RATE for part in clips.values() for one in part]
    figures = {
        "what": "word error rate on clips with known sentences, one clip at a time",
        "clips": arguments.clips,
        "seed": arguments.seed,
        "mean_seconds": round(statistics.mean(every), 2),
        "rows": rows,
    }
    machine = {"threads": torch.get_num_threads()}
    write_figures(
        arguments.json, figures, machine=machine, packages=(*provenance.PACKAGES, *PACKAGES)
    )
    print(json.dumps(rows, indent=2))


def draw(corpus: str, arguments: argparse.Namespace) -> list[Utterance]:
    """Clips of a corpus, drawn at random."""
    source = SOURCES[corpus](arguments.data / FOLDERS[corpus])
    found = sorted(
        (one for one in source.read() if isinstance(one, Utterance) and one.transcript),
        key=lambda one: one.utterance_id,
    )
    drawn = np.random.default_rng(arguments.seed).permutation(len(found))[: arguments.clips]
    return [found[place] for place in drawn]


def scored(utterances: list[Utterance], texts: list[str]) -> dict[str, Any]:
    """Word error rate, and the share of clips without any error."""
    normal = EnglishTextNormalizer()
    true = [normal(utterance.transcript or "") for utterance in utterances]
    heard = [normal(text) for text in texts]
    exact = [one == other for one, other in zip(true, heard, strict=True)]
    return {"wer": jiwer.wer(true, heard), "exact": statistics.mean(exact)}


if __name__ == "__main__":
    main()

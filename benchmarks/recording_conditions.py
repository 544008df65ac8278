"""How many labels change when clips are louder, offset, knocked on, or stereo with inverted phase.

    python benchmarks/recording_conditions.py --data ../shared/data/RAVDESS
    git worktree add ../before 035f67f
    python benchmarks/recording_conditions.py --data ../shared/data/RAVDESS \\
        --model ../before/checkpoints/mini --model checkpoints/mini

Every model folder runs the code that lies in it, so that earlier releases can be compared. The
folder must be one that you trust.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from transformers import pipeline  # noqa: E402
from transformers.utils import logging  # noqa: E402

from benchmarks.random_hubert import real_clips  # noqa: E402
from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from hub_model.audio import SAMPLING_RATE, load_audio  # noqa: E402
from speech_emotion.evaluation.provenance import portable  # noqa: E402


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, data="folder of clips, searched below")
    parser.add_argument(
        "--model",
        action="append",
        help="checkpoint folder, whose code is run; may be repeated (checkpoints/mini)",
    )
    parser.add_argument("--clips", type=int, default=28, help="number of clips (%(default)s)")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    clips = [load_audio(file) for file in real_clips(arguments.data, arguments.clips)]
    changed: dict[str, dict[str, int]] = {}
    models = arguments.model or [str(ROOT / "checkpoints" / "mini")]
    for number, model in enumerate(models):
        classifier = pipeline(
            "audio-classification", model=model, trust_remote_code=True, transcriber="none"
        )
        usual = _labels(classifier, clips)
        for name, altered in conditions(clips):
            found = _labels(classifier, altered)
            counts = changed.setdefault(name, {})
            counts[f"model {number + 1}"] = sum(a != b for a, b in zip(usual, found, strict=True))
    figures = {
        "what": "labels that differ from those of the unaltered clips",
        "clips": len(clips),
        "models": [portable(model) for model in models],
        "changed": changed,
    }
    write_figures(arguments.json, figures)
    print(json.dumps(changed, indent=2))


def conditions(clips: list[np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yield name and altered clips, float32 ``(num_samples,)`` or ``(num_samples, 2)``, 16 kHz."""
    for gain in (-60, -50, -40, -20, 20, 40):
        yield f"gain {gain:+d} dB", [clip * 10 ** (gain / 20) for clip in clips]
    for offset in (0.01, 0.05, 0.1, 0.3):
        yield f"offset {offset}", [clip + np.float32(offset) for clip in clips]
    for where, share in (("start", 0.02), ("middle", 0.5), ("end", 0.95)):
        yield f"knock of 30 ms at the {where}", [_knocked(clip, share) for clip in clips]
    yield "click of 2 ms at the start", [_clicked(clip) for clip in clips]
    yield "stereo, inverted", [np.stack([clip, -clip], 1) for clip in clips]
    yield "stereo, second half inverted", [_half_inverted(clip) for clip in clips]
    yield "stereo, one channel silent", [np.stack([clip, 0 * clip], 1) for clip in clips]


def _knocked(clip: np.ndarray, share: float) -> np.ndarray:
    size, start = round(0.03 * SAMPLING_RATE), round(share * clip.size)
    size = min(size, clip.size - start)
    noise = np.random.default_rng(0).normal(0, 0.5, size) * np.hanning(size)
    knocked = clip.copy()
    knocked[start : start + size] += noise.astype(np.float32)
    return knocked


def _clicked(clip: np.ndarray) -> np.ndarray:
    clicked = clip.copy()
    clicked[1000:1032] = 0.9
    return clicked


def _half_inverted(clip: np.ndarray) -> np.ndarray:
    sign = np.where(np.arange(clip.size) < clip.size // 2, 1, -1).astype(np.float32)
    return np.stack([clip, sign * clip], 1)


def _labels(classifier: Any, clips: list[np.ndarray]) -> list[str]:
    rows = classifier([{"array": clip, "sampling_rate": SAMPLING_RATE} for clip in clips])
    return [row[0]["label"] if isinstance(row, list) else row["error"] for row in rows]


if __name__ == "__main__":
    main()

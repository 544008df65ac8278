"""Speed of the 94 features, beside librosa's five functions and openSMILE's eGeMAPS.

    python benchmarks/feature_extraction.py --data ../shared/data/RAVDESS

All three get the same decoded clips, one by one and on one thread, alternately, after one clip that
is not timed; the ratios are of the medians. librosa's functions are called one after another with
the waveform. The 88 values of eGeMAPS are other features, so that ratio compares the cost of two
feature sets, not their quality.
"""

import json
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import opensmile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.results_file import make_parser, write_figures  # noqa: E402
from corpus_builder import provenance  # noqa: E402
from hub_model.audio import SAMPLING_RATE, clean_audio, load_audio  # noqa: E402
from speech_emotion.baselines.features import clip_features  # noqa: E402

Extract = Callable[[np.ndarray], np.ndarray]


def five_functions(waveform: np.ndarray) -> np.ndarray:
    """The same 94 values from librosa, one function after another."""
    y, sr = waveform, SAMPLING_RATE
    parts = (
        librosa.feature.chroma_stft(y=y, sr=sr),
        librosa.feature.melspectrogram(y=y, sr=sr, n_mels=60),
        librosa.feature.mfcc(y=y, sr=sr, n_mfcc=20),
        librosa.feature.zero_crossing_rate(y),
        librosa.feature.spectral_centroid(y=y, sr=sr),
    )
    return np.concatenate([part.mean(axis=1) for part in parts])


def main() -> None:
    """Measure and write the figures as JSON."""
    parser = make_parser(__doc__, __file__, data="folder of audio files")
    parser.add_argument("--clips", type=int, default=200, help="number of clips (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (%(default)s)")
    arguments = parser.parse_args()

    files = sorted(path for path in arguments.data.rglob("*.*") if path.suffix in (".wav", ".flac"))
    if not files:
        raise SystemExit(f"{arguments.data}: no .wav or .flac files")
    step = max(1, len(files) // arguments.clips)
    clips = [clean_audio(load_audio(path)) for path in files[::step][: arguments.clips]]
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    peers: dict[str, Extract] = {
        "ours": clip_features,
        "librosa": five_functions,
        "opensmile_egemaps": lambda waveform: smile.process_signal(waveform, SAMPLING_RATE).values,
    }
    rates = _rates(peers, clips, arguments.rounds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    figures = {
        "what": "94 features of a clip beside librosa's five functions and openSMILE eGeMAPSv02",
        "clips": len(clips),
        "mean_seconds": round(sum(map(len, clips)) / len(clips) / SAMPLING_RATE, 2),
        "clips_per_second": {name: [round(v, 1) for v in rates[name]] for name in rates},
        "ratio_to_librosa": round(medians["ours"] / medians["librosa"], 2),
        "ratio_to_opensmile_egemaps": round(medians["ours"] / medians["opensmile_egemaps"], 2),
        "largest_difference_from_librosa": _largest_difference(clips),
    }
    write_figures(arguments.json, figures, packages=(*provenance.PACKAGES, "opensmile"))
    print(json.dumps({name: figures[name] for name in list(figures)[1:7]}, indent=2))


def _rates(
    peers: dict[str, Extract], clips: list[np.ndarray], rounds: int
) -> dict[str, list[float]]:
    """Clips per second of each round."""
    for extract in peers.values():
        extract(clips[0])
    rates: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, extract in peers.items():
            start = time.perf_counter()
            for clip in clips:
                extract(clip)
            rates[name].append(len(clips) / (time.perf_counter() - start))
    return rates


def _largest_difference(clips: list[np.ndarray]) -> float:
    """Over all values of all clips, relative to librosa's value where that is above 1."""
    differences = [
        np.abs(clip_features(clip) - expected) / np.maximum(1, np.abs(expected))
        for clip in clips
        for expected in [five_functions(clip)]
    ]
    return float(f"{np.max(differences):.1e}")


if __name__ == "__main__":
    main()

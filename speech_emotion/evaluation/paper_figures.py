"""Figures 3, 4 and 5 of the paper, drawn from a built corpus.

    python -m speech_emotion.evaluation.paper_figures --data corpus --output-dir FOLDER

writes zero_crossing_rate.png (Figure 3) and spectral_centroid.png (Figure 4), one box per emotion;
and spectrograms.png (Figure 5), one block per emotion. Figure 8, the confusion matrices, is drawn
by the report from the results of Table 8. ``make figures`` draws all four for the documents.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Audio, Dataset
from matplotlib.figure import Figure
from PIL import Image

from hub_model.audio import SAMPLING_RATE, AudioError, load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.baselines import BaselineError
from speech_emotion.baselines.clips import Clips
from speech_emotion.baselines.feature_store import stored_features
from speech_emotion.baselines.features import FEATURE_NAMES, FEATURE_VERSION
from speech_emotion.baselines.spectrograms import images
from speech_emotion.training.config import ConfigError
from speech_emotion.training.data import open_splits

FIGURES = {
    "zero_crossing_rate": ("Zero-crossing rate (Figure 3)", "share of samples"),
    "spectral_centroid": ("Spectral centroid (Figure 4)", "Hz"),
}


def feature_figure(clips: Clips[np.ndarray], name: str) -> Figure:
    """A feature's distribution over the clips of each emotion (paper, Figures 3 and 4).

    Args:
        clips: with float32 (94,) each.
        name: one of :data:`~speech_emotion.baselines.features.FEATURE_NAMES`.
    """
    title, unit = FIGURES[name]
    values = np.stack(clips.values)[:, FEATURE_NAMES.index(name)]
    present = np.unique(clips.labels)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot(title=f"{title}, {len(values)} training clips", ylabel=unit)
    axes.boxplot(
        [values[clips.labels == label] for label in present],
        tick_labels=[EMOTIONS[label] for label in present],
        showmeans=True,
        sym=".",
    )
    return figure


def spectrogram_figure(blocks: dict[str, np.ndarray]) -> Figure:
    """One block of 1 s for each emotion (paper, Figure 5).

    Args:
        blocks: uint8 (257, 251, 3) by emotion.
    """
    figure = Figure(figsize=(2.2 * max(len(blocks), 2), 2.4), layout="constrained")
    for number, (emotion, block) in enumerate(blocks.items(), start=1):
        axes = figure.add_subplot(1, len(blocks), number, title=emotion)
        axes.imshow(block, extent=(0, 1, 0, SAMPLING_RATE / 2000), aspect="auto")
        axes.set_xlabel("s")
        if number == 1:
            axes.set_ylabel("kHz")
        else:
            axes.set_yticklabels([])
    return figure


def blocks_of_files(folder: Path) -> dict[str, np.ndarray]:
    """The first block of each file EMOTION.wav in a folder.

    Raises:
        AudioError: one cannot be read, or is too short.
    """
    files = {emotion: folder / f"{emotion}.wav" for emotion in EMOTIONS}
    return {name: images(load_audio(file))[0] for name, file in files.items() if file.is_file()}


def first_blocks(rows: Dataset) -> dict[str, np.ndarray]:
    """The first block of the first clip of each emotion that is long enough for one."""
    labels = np.asarray(rows["label"][:])
    found: dict[str, np.ndarray] = {}
    for number, emotion in enumerate(EMOTIONS):
        for index in np.flatnonzero(labels == number):
            try:
                found[emotion] = images(load_audio(rows[int(index)]["audio"]))[0]
                break
            except AudioError:
                continue
    return found


def main(arguments: list[str] | None = None) -> int:
    """Draw the figures; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m speech_emotion.evaluation.paper_figures", description=__doc__
    )
    parser.add_argument("--data", required=True, help="corpus folder or Hub data set id")
    parser.add_argument("--output-dir", type=Path, help="folder of the images (required)")
    parser.add_argument("--out", dest="output_dir", type=Path, help=argparse.SUPPRESS)  # old name
    parser.add_argument(
        "--protocol",
        default="speaker_disjoint",
        choices=("speaker_disjoint", "paper"),
        help="configuration of the corpus (%(default)s)",
    )
    parser.add_argument(
        "--cache", default="runs/cache", help="folder of cached features (%(default)s)"
    )
    parser.add_argument(
        "--clips",
        type=Path,
        help="folder of clips EMOTION.wav for Figure 5, instead of those of the corpus: a "
        "spectrogram shows much of a recording, which may not be shared",
    )
    parser.add_argument("--blocks", type=Path, help="folder for the single blocks as well")
    options = parser.parse_args(arguments)
    if options.output_dir is None:
        parser.error("the following arguments are required: --output-dir")
    try:
        rows = open_splits(options.data, options.protocol, EMOTIONS)["train"]
        rows = rows.cast_column("audio", Audio(decode=False))
        clips = stored_features(rows, options.cache, what="train")
        blocks = blocks_of_files(options.clips) if options.clips else first_blocks(rows)
        if not blocks:
            raise AudioError(f"{options.clips or options.data}: no clip of 1 s for Figure 5")
    except (ConfigError, BaselineError, AudioError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.output_dir.mkdir(parents=True, exist_ok=True)
    # Without it matplotlib writes its version into the file.
    plain: dict[str, Any] = {"metadata": {"Software": f"features {FEATURE_VERSION}"}, "dpi": 100}
    for name in FIGURES:
        feature_figure(clips, name).savefig(options.output_dir / f"{name}.png", **plain)
    spectrogram_figure(blocks).savefig(options.output_dir / "spectrograms.png", **plain)
    for emotion, block in blocks.items() if options.blocks else ():
        options.blocks.mkdir(parents=True, exist_ok=True)
        Image.fromarray(block).save(options.blocks / f"{emotion}.png")
    print(f"written: {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

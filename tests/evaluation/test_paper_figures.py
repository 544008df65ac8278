"""Figures 3, 4 and 5."""

from pathlib import Path

import numpy as np
from datasets import Audio, Dataset
from PIL import Image

from hub_model.audio import load_audio
from hub_model.labels import EMOTIONS
from speech_emotion.baselines.clips import Clips
from speech_emotion.baselines.features import FEATURE_NAMES
from speech_emotion.baselines.spectrograms import images
from speech_emotion.evaluation.paper_figures import feature_figure, first_blocks, main
from tests.helpers.baseline_clips import rows

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_one_command_draws_all_three(baseline_corpus, tmp_path):
    out = tmp_path / "figures"
    options = [
        "--data",
        str(baseline_corpus),
        "--output-dir",
        str(out),
        "--cache",
        str(tmp_path / "cache"),
        "--blocks",
        str(out / "images"),
    ]
    assert main(options) == 0
    for name in ("zero_crossing_rate", "spectral_centroid", "spectrograms"):
        drawn = np.asarray(Image.open(out / f"{name}.png").convert("RGB"))
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10
    assert {path.stem for path in (out / "images").iterdir()} == set(EMOTIONS)
    sad = rows(range(1))[EMOTIONS.index("sad")]
    expected = images(load_audio(sad["audio"]))[0]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "images/sad.png")), expected)

    # For documents, Figure 5 shows clips that may be shared; Figures 3 and 4 stay as they were.
    before = (out / "zero_crossing_rate.png").read_bytes()
    assert main([*options, "--clips", str(EXAMPLES)]) == 0
    assert (out / "zero_crossing_rate.png").read_bytes() == before
    expected = images(load_audio(EXAMPLES / "sad.wav"))[0]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "images/sad.png")), expected)


def test_each_emotion_has_a_box_of_its_own_clips():
    labels = [1, 1, 1, 6, 6, 6]
    values = np.zeros((6, 94), dtype=np.float32)
    values[:, FEATURE_NAMES.index("spectral_centroid")] = [100, 200, 300, 1000, 2000, 3000]
    made = Dataset.from_dict({"label": labels})
    clips = Clips(rows=made, kept=list(range(6)), values=list(values), left_out={})
    (axes,) = feature_figure(clips, "spectral_centroid").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["calm", "surprised"]
    medians = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert {200.0, 2000.0} <= set(medians)


def test_no_corpus_is_one_line(tmp_path, capsys):
    assert main(["--data", str(tmp_path / "none"), "--output-dir", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error:") and "none" in line


def test_short_clips_are_passed_over():
    made = [*rows(range(1), labels=range(1), seconds=0.5), *rows(range(1, 2), labels=range(1))]
    split = Dataset.from_list(made).cast_column("audio", Audio(decode=False))
    (block,) = first_blocks(split).values()
    np.testing.assert_array_equal(block, images(load_audio(split[1]["audio"]))[0])

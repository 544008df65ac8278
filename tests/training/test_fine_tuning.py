"""The recipe of docs/training.md: the embedded checkpoint tuned to a user's own labels."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import AutoModelForAudioClassification

from hub_model.labels import EMOTIONS, NEUTRAL
from speech_emotion.cli.main import main
from speech_emotion.predict import DEFAULT_MODEL
from tests.helpers.sounds import voice

PITCHES = {f"s{number}": 100 + 14 * number for number in range(8)}
"""Speaker -> pitch in Hz."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Eight speakers; their voices are rough when they are tense."""
    folder = tmp_path_factory.mktemp("fine_tuning")
    lines = ["path;Emotion;speaker"]
    for speaker, pitch in PITCHES.items():
        for number in range(6):
            tense = number % 2
            name = f"{speaker}_{number}.wav"
            waveform = voice(1.6, pitch=pitch, seed=number // 2)
            waveform = np.clip(8 * waveform, -0.2, 0.2) if tense else waveform
            soundfile.write(folder / name, waveform, 16_000)
            lines.append(f"{name};{'Tense' if tense else 'RELAXED'};{speaker}")
    (folder / "calls.csv").write_text("\n".join(lines), encoding="utf-16")
    command = ["corpus", "build", "--source", f"csv={folder / 'calls.csv'}", "--config", "natural"]
    command += ["--labels", "tense,relaxed", "--workers", "1", "--out", str(folder / "corpus")]
    assert main(command) == 0
    return folder / "corpus"


def scores_of(corpus: Path, out: Path, *options: str) -> dict:
    command = ["evaluate", "corpus", "--data", str(corpus), "--protocol", "natural", "--no-cache"]
    assert main([*command, "--out", str(out), *options]) == 0
    rows = json.loads(out.read_text())["rows"]
    return next(row["scores"] for row in rows if row["kind"] == "model")


def test_the_recipe_beats_the_model_as_it_is(corpus, tmp_path):
    tuned = tmp_path / "tuned"
    command = ["train", "--config", "configs/fine_tune.yaml", "--data", str(corpus)]
    assert main([*command, "--output-dir", str(tuned)]) == 0
    after = scores_of(corpus, tmp_path / "after.json", "--model", str(tuned))
    words = "tense=angry,relaxed=calm"
    before = scores_of(
        corpus, tmp_path / "before.json", "--model", str(DEFAULT_MODEL), "--map", words
    )
    assert after["ua"] > 0.9 > before["ua"]
    config = json.loads((tuned / "config.json").read_text())
    assert list(config["id2label"].values()) == ["tense", "relaxed"]
    assert config["standardize_features"] and len(config["class_mean_logits"]) == 2


def test_the_same_labels_go_on_from_the_classifier_of_the_checkpoint(tmp_path):
    model = AutoModelForAudioClassification.from_pretrained(DEFAULT_MODEL, trust_remote_code=True)
    assert tuple(model.config.id2label.values()) == (*EMOTIONS, NEUTRAL)
    mean, weight = model.feature_mean, model.classifier.weight
    kept = AutoModelForAudioClassification.from_pretrained(
        DEFAULT_MODEL, trust_remote_code=True, num_labels=2, ignore_mismatched_sizes=True
    )
    np.testing.assert_array_equal(kept.feature_mean, mean)
    assert kept.classifier.weight.shape == (2, weight.shape[1])
    assert kept.config.temperature == 1.0

"""The benchmark of text without audio, by the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from evaluate_benchmarks import main
from speech_emotion.evaluation.scoring import PROBABILITIES
from speech_emotion.predict.loading import load_classifier
from tests.helpers.refusals import refusal
from tests.helpers.toy_corpus import tone

pytestmark = pytest.mark.usefixtures("bench")


def test_comments_are_scored_by_what_the_pipeline_says_of_words(capsys):
    """Its text-only probabilities, which have the bias of text without audio."""
    bias = [0.0, 0.1, -0.1, 0.2, 0.0, -0.2, 0.0]
    shutil.copytree("ours", "with_bias", dirs_exist_ok=True)
    config = json.loads(Path("with_bias/config.json").read_text())
    Path("with_bias/config.json").write_text(json.dumps(config | {"text_only_bias": bias}))
    names = ["anger", "relief", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]
    texts = [f"well, {word} {i}" for i in range(2) for word in names]
    Path("comments").mkdir()
    Path("comments/labels.txt").write_text("\n".join(names))
    lines = [f"{text}\t{i % 8}\t{i}" for i, text in enumerate(texts)]
    Path("comments/test.tsv").write_text("\n".join(lines))
    arguments = ["comments", "--data", "comments", "--model", "with_bias", "--out", "words.json"]
    assert main(arguments) == 0
    (row,) = json.loads(Path("words.json").read_text())["rows"]
    emotional = [(text, i % 8) for i, text in enumerate(texts) if i % 8 < 7]
    pipe = load_classifier("with_bias", transcriber="none")
    clip = {"array": tone(300, seconds=1.0), "sampling_rate": 16_000}
    rows_of = pipe(
        [clip] * len(emotional), text=[text for text, _ in emotional], contributions=True
    )
    shown = [list(row["contributions"]["text"].values()) for row in rows_of]
    table = pd.read_parquet("words.predictions.parquet")
    table = table[table.label != "neutral"]
    np.testing.assert_allclose(table[PROBABILITIES], shown, atol=1e-4)
    found = row["labels"]["seven emotions"]
    truth, predicted = [label for _, label in emotional], np.argmax(shown, axis=1)
    expected = f1_score(truth, predicted, labels=range(7), average="macro", zero_division=0)
    assert list(row["labels"]) == ["seven emotions"] and found["comments"] == 14
    assert found["macro_f1"]["value"] == pytest.approx(expected)
    line = refusal(capsys, main, [*arguments[:3], "--model", "nb", "--out", "bad.json"])
    assert line == "error: --model nb: takes no text"

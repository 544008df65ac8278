"""The benchmark of text without audio, by the command line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

from evaluate_benchmarks import main
from speech_emotion.evaluation.scoring import PROBABILITIES
from speech_emotion.predict.loading import load_classifier
from tests.helpers.refusals import refusal
from tests.helpers.toy_corpus import tone

pytestmark = pytest.mark.usefixtures("bench")


def test_comments_are_scored_by_what_the_pipeline_says_of_words(capsys):
    """Its text-only probabilities, which have a layer of their own."""
    ours = load_classifier("ours", transcriber="none")
    weight = 0.1 * torch.randn(7, ours.model.config.text_embedding_size)
    ours.model.set_text_only_classifier(weight, torch.linspace(-0.2, 0.2, 7))
    ours.save_pretrained("with_layer")
    names = ["anger", "relief", "disgust", "fear", "joy", "sadness", "surprise", "neutral"]
    texts = [f"well, {word} {i}" for i in range(2) for word in names]
    Path("comments").mkdir()
    Path("comments/labels.txt").write_text("\n".join(names))
    lines = [f"{text}\t{i % 8}\t{i}" for i, text in enumerate(texts)]
    Path("comments/test.tsv").write_text("\n".join(lines))
    arguments = ["comments", "--data", "comments", "--model", "with_layer", "--out", "words.json"]
    assert main(arguments) == 0
    (row,) = json.loads(Path("words.json").read_text())["rows"]
    emotional = [(text, i % 8) for i, text in enumerate(texts) if i % 8 < 7]
    pipe = load_classifier("with_layer", transcriber="none")
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

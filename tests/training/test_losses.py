import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from hub_model.labels import EMOTIONS
from speech_emotion.training.config import ConfigError, TrainConfig
from speech_emotion.training.losses import EmotionLoss, training_targets
from tests.helpers.toy_corpus import STILL_MODEL, rows, write_corpus

LABELS = [0, 0, 0, 5, 5, 6]
LOGITS = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))


def made_rows(columns):
    rows = Dataset.from_dict(columns)
    return rows.cast_column("label", ClassLabel(names=list(EMOTIONS)))


def loss_of(labels=LABELS, **settings):
    config = TrainConfig(**settings)
    rows = made_rows({"label": labels})
    return EmotionLoss(config, rows)(LOGITS, training_targets(config, rows))


def test_the_paper_s_loss_is_plain_cross_entropy():
    assert loss_of() == cross_entropy(LOGITS, torch.tensor(LABELS))


def test_balanced_weights_are_those_of_scikit_learn():
    found = EmotionLoss(TrainConfig(class_weights="balanced"), made_rows({"label": LABELS})).weights
    wanted = compute_class_weight("balanced", classes=np.array([0, 5, 6]), y=LABELS)
    assert found[[0, 5, 6]].tolist() == pytest.approx(list(wanted))
    # Each emotion then counts the same, whatever the number of its clips.
    losses = cross_entropy(LOGITS, torch.tensor(LABELS), reduction="none")
    means = torch.stack([losses[torch.tensor(LABELS) == label].mean() for label in (0, 5, 6)])
    assert loss_of(class_weights="balanced") == pytest.approx(means.mean())


def test_label_smoothing_gives_a_share_to_all():
    shares = torch.nn.functional.one_hot(torch.tensor(LABELS), 7) * 0.9 + 0.1 / 7
    assert loss_of(label_smoothing_factor=0.1) == pytest.approx(cross_entropy(LOGITS, shares))


def test_votes_become_targets_and_neutral_is_left_out():
    votes = [[0.5, 0, 0, 0, 0, 0.25, 0, 0.25], None, [0.0] * 7 + [1.0]]
    rows = made_rows({"label": [0, 5, 6], "votes": votes})
    targets = training_targets(TrainConfig(soft_labels=True), rows)
    assert targets[0].tolist() == pytest.approx([2 / 3, 0, 0, 0, 0, 1 / 3, 0])
    assert targets[1].argmax() == 5 and targets[1].sum() == 1
    assert targets[2].argmax() == 6 and targets[2].sum() == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_clips_of_a_corpus_that_weighs_less_count_less(smoothing):
    rows = made_rows({"label": LABELS, "corpus": ["ravdess"] * 4 + ["tess"] * 2})
    config = TrainConfig(corpus_weights={"tess": 0.25}, label_smoothing_factor=smoothing)
    found = EmotionLoss(config, rows)(LOGITS, training_targets(config, rows))
    losses = cross_entropy(
        LOGITS, torch.tensor(LABELS), reduction="none", label_smoothing=smoothing
    )
    assert found == pytest.approx((losses[:4].sum() + 0.25 * losses[4:].sum()) / 6)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan"), "much"])
def test_a_weight_is_a_positive_number(weight):
    with pytest.raises(ConfigError, match="corpus_weights: tess must be a positive number"):
        TrainConfig(corpus_weights={"tess": weight})


def test_a_weight_of_a_corpus_that_is_not_there_is_refused():
    rows = made_rows({"label": [0], "corpus": ["ravdess"]})
    with pytest.raises(ConfigError, match="no training clips of the corpus 'tess'"):
        training_targets(TrainConfig(corpus_weights={"tess": 0.1}), rows)


def test_soft_labels_need_votes(corpus, run):
    with pytest.raises(ConfigError, match="soft_labels needs listeners' votes, there are none"):
        run("model", soft_labels=True)


@pytest.mark.parametrize("freeze", [[], ["audio_model", "text_model"]])
def test_votes_are_learnt_and_not_the_labels(run, tmp_path, freeze):
    """The votes say the opposite of the labels; validation is still scored by its labels."""
    made = rows((1, 2, 3))
    for row in made:
        row["votes"] = [float(i == (5 if row["label"] == 0 else 0)) for i in range(8)]
    corpus = write_corpus(tmp_path / "corpus", train=made)
    settings = {
        "model": STILL_MODEL,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,
        "num_train_epochs": 12,
    }
    settings |= {"data": str(corpus), "freeze": freeze, "standardize": bool(freeze)}
    history = run("model", soft_labels=True, class_weights="balanced", **settings)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert min(row["ua"] for row in history[3:]) <= 0.25

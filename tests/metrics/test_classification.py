"""WA, UA and the rest against scikit-learn on random inputs."""

import numpy as np
import pytest
from sklearn import metrics as sk

from speech_emotion import metrics

CLASSES = 7


@pytest.fixture(params=range(5))
def random_answers(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Unbalanced classes, about half of the answers right."""
    rng = np.random.default_rng(request.param)
    references = rng.choice(CLASSES, size=300, p=rng.dirichlet(np.ones(CLASSES)))
    guesses = rng.integers(0, CLASSES, size=300)
    return references, np.where(rng.random(300) < 0.5, references, guesses)


def test_wa_is_accuracy(random_answers):
    assert metrics.wa(*random_answers) == pytest.approx(sk.accuracy_score(*random_answers))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_ua_is_balanced_accuracy(random_answers):
    assert metrics.ua(*random_answers) == pytest.approx(sk.balanced_accuracy_score(*random_answers))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_ua_plus_wa_is_the_sum(random_answers):
    expected = sk.balanced_accuracy_score(*random_answers) + sk.accuracy_score(*random_answers)
    assert metrics.ua_plus_wa(*random_answers) == pytest.approx(expected)


def test_macro_f1_is_the_mean_of_the_classes_that_occur(random_answers):
    references, predictions = random_answers
    per_class = [
        sk.f1_score(references == label, predictions == label) for label in np.unique(references)
    ]
    assert metrics.macro_f1(references, predictions) == pytest.approx(np.mean(per_class))


def test_recall_and_confusion_agree_with_scikit_learn(random_answers):
    references, predictions = random_answers
    matrix = metrics.confusion_matrix(references, predictions, num_classes=CLASSES)
    recall = metrics.per_class_recall(references, predictions, num_classes=CLASSES)
    np.testing.assert_array_equal(
        matrix, sk.confusion_matrix(references, predictions, labels=range(CLASSES))
    )
    for label in range(CLASSES):
        clips = references == label
        expected = np.mean(predictions[clips] == label) if clips.any() else None
        assert recall[label] == (expected if expected is None else pytest.approx(expected))


def test_an_unanswered_clip_is_an_error_in_every_score():
    references, predictions = [0, 0, 1, 1], [0, 0, 1, metrics.NO_ANSWER]
    assert metrics.wa(references, predictions) == 0.75
    assert metrics.ua(references, predictions) == 0.75
    assert metrics.macro_f1(references, predictions) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.per_class_recall(references, predictions, num_classes=2) == [1.0, 0.5]
    assert metrics.confusion_matrix(references, predictions, num_classes=2).sum() == 3


@pytest.mark.parametrize("answers", [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_lists_that_do_not_match_are_refused(answers):
    with pytest.raises(ValueError, match="one length"):
        metrics.ua(*answers)

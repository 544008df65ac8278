"""Calibration error and selective accuracy against independent computations."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from hub_model.calibration import fit_temperature
from speech_emotion.metrics import (
    accuracy_at_coverage,
    expected_calibration_error,
    reliability_bins,
    wa,
)


def random_probabilities(seed: int, clips: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 7, size=clips), rng.dirichlet(np.full(7, 0.3), size=clips)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bins", [5, 15])
def test_calibration_error_equals_scikit_learns_curve(seed, bins):
    references, probabilities = random_probabilities(seed)
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == references
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=bins)
    counts, _ = np.histogram(confidence, bins=bins, range=(0, 1))
    expected = np.sum(counts[counts > 0] * np.abs(accuracy - mean_confidence)) / len(references)
    found = expected_calibration_error(references, probabilities, bins=bins)
    assert found == pytest.approx(expected)


def test_a_sure_and_right_model_has_no_calibration_error():
    assert expected_calibration_error([0, 1, 2], np.eye(3)) == 0.0


def test_a_sure_and_wrong_model_has_the_largest():
    assert expected_calibration_error([1, 2, 0], np.eye(3)) == 1.0


def test_full_coverage_is_plain_accuracy():
    references, probabilities = random_probabilities(0)
    expected = wa(references, probabilities.argmax(axis=1))
    assert accuracy_at_coverage(references, probabilities, coverage=1.0) == expected


@pytest.mark.parametrize("coverage", [0.07, 0.25, 0.5, 0.8])
def test_coverage_keeps_the_most_confident_clips(coverage):
    references, probabilities = random_probabilities(1, clips=100)
    kept = sorted(range(100), key=lambda clip: -probabilities[clip].max())[: round(100 * coverage)]
    expected = np.mean([probabilities[clip].argmax() == references[clip] for clip in kept])
    found = accuracy_at_coverage(references, probabilities, coverage=coverage)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.1])
def test_coverage_outside_its_range_is_refused(coverage):
    with pytest.raises(ValueError, match="coverage"):
        accuracy_at_coverage([0], [[1.0, 0.0]], coverage=coverage)


def test_probabilities_must_match_the_clips():
    with pytest.raises(ValueError, match="one row"):
        expected_calibration_error([0, 1], [[1.0, 0.0]])


def test_temperature_undoes_a_scale():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 7))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    references = np.array([rng.choice(7, p=row) for row in chances])
    assert fit_temperature(references, logits) == pytest.approx(1, abs=0.1)
    assert fit_temperature(references, logits * 3) == pytest.approx(3, abs=0.3)


def test_reliability_bins_equal_scikit_learns_curve():
    references, probabilities = random_probabilities(0)
    correct = probabilities.argmax(axis=1) == references
    accuracy, confidence = calibration_curve(correct, probabilities.max(axis=1), n_bins=15)
    found = reliability_bins(references, probabilities)
    assert [bin["accuracy"] for bin in found] == pytest.approx(accuracy)
    assert [bin["confidence"] for bin in found] == pytest.approx(confidence)
    assert sum(bin["clips"] for bin in found) == len(references)

"""Paired tests between two models."""

import numpy as np
import pytest
from scipy import stats

from speech_emotion.metrics import mcnemar, paired_bootstrap, wa


def two_models(*, first: float, second: float, clips: int = 400, seed: int = 0):
    rng = np.random.default_rng(seed)
    references = rng.integers(0, 7, size=clips)
    wrong = (references + 1) % 7
    answers = [np.where(rng.random(clips) < rate, references, wrong) for rate in (first, second)]
    return references, *answers, rng.integers(0, 10, size=clips)


def test_a_clear_difference_is_found():
    references, first, second, speakers = two_models(first=0.4, second=0.7)
    found = paired_bootstrap(wa, references, first, second, speakers=speakers)
    assert found.difference == pytest.approx(wa(references, second) - wa(references, first))
    assert found.interval.low < found.difference < found.interval.high
    assert found.interval.low > 0.1
    assert found.p_value < 0.01


def test_no_difference_is_not_found():
    references, first, second, _ = two_models(first=0.5, second=0.5)
    found = paired_bootstrap(wa, references, first, second)
    assert found.interval.low < 0 < found.interval.high
    assert found.p_value > 0.05


def test_swapping_the_models_turns_the_sign():
    references, first, second, _ = two_models(first=0.4, second=0.6)
    there = paired_bootstrap(wa, references, first, second)
    back = paired_bootstrap(wa, references, second, first)
    assert back.difference == pytest.approx(-there.difference)
    assert back.p_value == pytest.approx(there.p_value)


def test_paired_bootstrap_needs_two_speakers():
    with pytest.raises(ValueError, match="at least two"):
        paired_bootstrap(wa, [0, 1], [0, 1], [0, 0], speakers=["a", "a"])


def test_mcnemar_counts_what_just_one_model_got_right():
    references = np.zeros(40, dtype=int)
    first, second = references.copy(), references.copy()
    first[:15], second[10:20] = 1, 1
    found = mcnemar(references, first, second)
    assert (found.only_first, found.only_second) == (5, 10)
    # Twice the chance of 5 or fewer heads in 15 throws of a fair coin.
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(5, 15, 0.5))


def test_mcnemar_of_a_model_with_itself():
    assert mcnemar([0, 1], [0, 0], [0, 0]).p_value == 1.0

"""Cohen's kappa equals scikit-learn's, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medsift.statistics.bootstrap import Resampling
from medsift.statistics.cohen_kappa import cohen_kappa
from tests.expect import raises_code


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_another_library(seed):
    rng = np.random.default_rng(seed)
    first = rng.random(200) < rng.random()
    second = np.where(rng.random(200) < 0.7, first, rng.random(200) < 0.4)
    found = cohen_kappa(first, second, np.arange(200))
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.agreement == pytest.approx((first == second).mean())
    assert found.low <= found.value <= found.high
    assert (found.rows, found.clusters) == (200, 200)


def test_an_interval_over_few_pictures_is_wider():
    rng = np.random.default_rng(0)
    pictures = np.repeat(np.arange(20), 10)
    first = np.repeat(rng.random(20) < 0.5, 10)
    second = np.repeat(rng.random(20) < 0.5, 10) ^ (rng.random(200) < 0.05)
    alone, together = (cohen_kappa(first, second, ids) for ids in (np.arange(200), pictures))
    assert alone.value == together.value
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    truth, inside = 0.5, 0  # both agree with a fair coin of their own with probability 0.5
    for seed in range(120):
        first = rng.random(150) < 0.5
        second = np.where(rng.random(150) < truth, first, rng.random(150) < 0.5)
        found = cohen_kappa(first, second, np.arange(150), Resampling(draws=399, seed=seed))
        inside += found.low <= truth <= found.high
    assert inside >= 0.88 * 120


def test_a_rater_that_says_one_thing_has_no_kappa():
    found = cohen_kappa([True, True], [True, False], [0, 1])
    assert (found.value, found.low, found.high, found.agreement) == (None, None, None, 0.5)
    with raises_code("statistic_input_invalid"):
        cohen_kappa([], [], [])

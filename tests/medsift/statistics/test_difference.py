"""The difference of two models: pairing, seeds, edges."""

from __future__ import annotations

import numpy as np
import pytest

from medsift.statistics import Resampling, difference, interval
from tests.expect import raises_code


def two_models(items, groups, seed=0, gain=0.05):
    """Two models that find the same items hard."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, groups, items)
    ease = np.clip(rng.normal(0.6, 0.4, items) + rng.normal(0, 0.2, groups)[ids], 0, 1)
    first, second = (
        (rng.random(items) < np.clip(ease + shift, 0, 1)).astype(float) for shift in (gain, 0.0)
    )
    return first, second, ids


@pytest.mark.parametrize("groups", [20, 400])
def test_the_difference_is_that_of_the_means_and_turns_with_the_order(groups):
    first, second, ids = two_models(800, groups)
    ahead, behind = difference(first, second, ids), difference(second, first, ids)
    assert ahead.value == pytest.approx(first.mean() - second.mean())
    assert (ahead.first, ahead.second) == pytest.approx((first.mean(), second.mean()))
    assert (behind.low, behind.high) == (-ahead.high, -ahead.low)
    assert ahead.low < ahead.value < ahead.high


def test_without_clusters_the_interval_is_that_of_the_paired_t_test():
    first, second, _ = two_models(2000, 2000)
    found = difference(first, second, np.arange(2000), Resampling(draws=9999))
    apart = first - second
    half = 1.9612 * apart.std(ddof=1) / np.sqrt(2000)
    assert found.high - found.value == pytest.approx(half, rel=0.03)


def test_pairing_takes_off_what_both_models_find_hard():
    first, second, ids = two_models(3000, 900)
    paired = difference(first, second, ids)
    alone = [interval(scores, ids) for scores in (first, second)]
    unpaired = np.hypot(*(one.high - one.low for one in alone))
    assert paired.high - paired.low < 0.8 * unpaired


def test_a_constant_gain_over_continuous_scores_has_no_width_but_that_of_unseen_clusters():
    scores = np.random.default_rng(1).random(300) / 2
    found = difference(scores + 0.25, scores, np.arange(300))
    unseen = 1 - 0.025 ** (1 / 300)
    assert found.value == pytest.approx(0.25)
    assert found.low == pytest.approx(0.25 - unseen * 1.25, abs=1e-6)
    assert found.high == pytest.approx(0.25 + unseen * 0.75, abs=1e-6)


@pytest.mark.parametrize("groups", [20, 300])
def test_the_order_of_rows_and_the_size_of_chunks_change_no_bit(groups):
    first, second, ids = two_models(900, groups)
    order = np.random.default_rng(2).permutation(900)
    wanted = difference(first, second, ids)
    assert difference(first[order], second[order], ids[order]) == wanted
    assert difference(first, second, ids, Resampling(chunk=3)) == wanted


def test_equal_seeds_count_as_one():
    first, second, ids = two_models(600, 200)
    one = difference(first, second, ids)
    many = difference(np.stack([first] * 3), np.stack([second] * 3), ids)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-9)
    assert (many.value, many.seeds) == (pytest.approx(one.value), (3, 3))


def trained(rng, ids, ease, skill, spread, seeds):
    """Scores (seeds, n) of one arm, whose skill differs by run."""
    runs = skill + rng.normal(0, spread, (seeds, 1))
    chance = 1 / (1 + np.exp(-(ease + runs + rng.normal(0, 1, (seeds, len(ids))))))
    return (rng.random(chance.shape) < chance).astype(float)


def seed_coverage(spread, seeds, sets=250):
    """Share of studies whose interval holds the difference over all seeds and all items."""
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(40), 5)
    many = rng.normal(0, np.sqrt(2 + spread**2 + 1), 400_000)
    truth = (1 / (1 + np.exp(-(many + 0.8))) - 1 / (1 + np.exp(-(many + 0.2)))).mean()
    covered = 0
    for _ in range(sets):
        ease = rng.normal(0, 1, 40)[ids] + rng.normal(0, 1, 200)
        first, second = (trained(rng, ids, ease, skill, spread, seeds) for skill in (0.8, 0.2))
        found = difference(first, second, ids)
        covered += found.low <= truth <= found.high
    return covered / sets


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.8])
def test_with_several_seeds_the_interval_covers_new_seeds_too(spread):
    # Two standard errors of 250 sets are 2.8 points.
    assert 0.92 <= seed_coverage(spread, seeds=4) <= 0.99


def test_with_one_seed_it_does_not():
    assert seed_coverage(0.8, seeds=1) < 0.75


@pytest.mark.parametrize(("items", "groups"), [(0, 1), (5, 1)])
def test_where_there_is_no_interval_there_are_no_ends(items, groups):
    found = difference(np.ones(items), np.zeros(items), np.zeros(items, int))
    assert (found.low, found.high) == (None, None)
    assert found.value == (1.0 if items else None)
    assert found.note is not None


@pytest.mark.parametrize(
    ("first", "code", "values"),
    [
        ([1.0, np.nan, 0.0], "models_not_comparable", {"model": "first", "missing": 1}),
        ([1.0, 0.0], "statistic_input_invalid", {"shape": (2,)}),
        ([1.0, 0.0, 1.5], "statistic_input_invalid", {"value": 1.5}),
    ],
)
def test_bad_input_is_refused_by_value(first, code, values):
    with raises_code(code, **values):
        difference(first, [0.0, 1.0, 1.0], [1, 2, 3])

"""One arm of several seeds: its mean, and an interval that covers new seeds too."""

from __future__ import annotations

import numpy as np
import pytest

from medsift.statistics import Resampling, difference, interval, seeded_interval
from tests.expect import raises_code

QUICK = Resampling(draws=499)


def trained(rng, seeds, groups=60, each=5, spread=0.0, ease=0.5):
    """Scores (seeds, n) of runs whose skill differs, on pictures that differ, and cluster ids."""
    ids = np.repeat(np.arange(groups), each)
    hard = rng.normal(0, 0.8, groups)[ids] + rng.normal(0, 1, groups * each)
    runs = ease + rng.normal(0, spread, (seeds, 1)) if spread else np.full((seeds, 1), ease)
    chance = 1 / (1 + np.exp(-(hard + runs + rng.normal(0, 0.5, (seeds, len(ids))))))
    return (rng.random(chance.shape) < chance).astype(float), ids


@pytest.mark.parametrize("groups", [12, 80])
def test_one_seed_gives_the_plain_interval(groups):
    runs, ids = trained(np.random.default_rng(0), 1, groups)
    assert seeded_interval(runs, ids, QUICK) == interval(runs[0], ids, QUICK)
    assert seeded_interval(runs[0], ids, QUICK) == interval(runs[0], ids, QUICK)


@pytest.mark.parametrize("groups", [12, 80])
def test_equal_seeds_add_nothing(groups):
    runs, ids = trained(np.random.default_rng(1), 1, groups)
    many = seeded_interval(np.repeat(runs, 3, 0), ids, QUICK)
    one = interval(runs[0], ids, QUICK)
    assert (many.low, many.high) == pytest.approx((one.low, one.high), abs=1e-9)


def test_the_value_is_the_mean_over_seeds_and_items():
    runs, ids = trained(np.random.default_rng(2), 4)
    found = seeded_interval(runs, ids, QUICK)
    assert found.value == pytest.approx(runs.mean())
    assert (found.n, found.clusters) == (runs.shape[1], 60)


def test_seeds_that_differ_widen_the_interval_as_they_widen_that_of_a_difference():
    rng = np.random.default_rng(3)
    runs, ids = trained(rng, 3, groups=300)
    apart = np.clip(runs + np.array([[-0.2], [0.0], [0.2]]), 0, 1)
    narrow, wide = (seeded_interval(one, ids, QUICK) for one in (runs, apart))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    against_nothing = difference(apart, np.zeros(len(ids)), ids, QUICK)
    assert wide.high - wide.low == pytest.approx(
        against_nothing.high - against_nothing.low, rel=0.1
    )


def test_seeds_that_differ_where_no_cluster_does_have_a_width_of_their_own():
    runs = np.array([[0.0] * 80, [1.0] * 80, [1.0] * 80])
    found = seeded_interval(runs, np.arange(80), QUICK)
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
def test_ends_stay_within_the_bounds_around_the_value(bounds):
    runs, ids = trained(np.random.default_rng(4), 3, spread=2.0, ease=3.0)
    found = seeded_interval(runs, ids, QUICK, bounds)
    assert bounds[0] <= found.low < found.value < found.high <= bounds[1]


def test_the_order_of_rows_changes_no_bit():
    runs, ids = trained(np.random.default_rng(5), 3, spread=0.5)
    order = np.random.default_rng(6).permutation(len(ids))
    assert seeded_interval(runs[:, order], ids[order], QUICK) == seeded_interval(runs, ids, QUICK)


@pytest.mark.parametrize(("spread", "ease"), [(0.3, 0.5), (0.3, 2.5), (1.0, 0.5)])
def test_it_covers_the_mean_over_all_seeds_and_all_items(spread, ease):
    rng = np.random.default_rng(7)
    logits = ease + rng.normal(0, np.sqrt(0.8**2 + 1 + 0.5**2 + spread**2), 400_000)
    truth = (1 / (1 + np.exp(-logits))).mean()
    covered = 0
    for _ in range(300):
        runs, ids = trained(rng, 3, spread=spread, ease=ease)
        found = seeded_interval(runs, ids, QUICK)
        covered += found.low <= truth <= found.high
    # Two standard errors of 300 sets are 2.5 points.
    assert 0.92 <= covered / 300 <= 0.99


@pytest.mark.parametrize(
    ("runs", "values"),
    [
        ([[1.0, 0.0], [1.0, np.nan]], {"missing": 1}),
        ([[1.0, 0.0, 1.0]], {"shape": (3,)}),
        ([[2.0, 0.0]], {"value": 2.0}),
    ],
)
def test_bad_input_is_refused(runs, values):
    with raises_code("statistic_input_invalid", **values):
        seeded_interval(runs, ["a", "b"])

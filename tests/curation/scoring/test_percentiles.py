"""Percentiles, their combination and rank correlations against counting and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from curation.scoring.percentiles import rank_percentiles
from curation.scoring.tables import combine, correlate, spearman

VALUE = st.one_of(st.integers(-3, 3).map(float), st.just(math.nan))
RANKED = st.lists(st.tuples(VALUE, st.sampled_from("abc")), max_size=40)
PAIRED = st.lists(st.tuples(VALUE, VALUE), max_size=40)


@given(RANKED)
def test_a_percentile_counts_those_below_and_half_of_the_equal_ones(pairs) -> None:
    values = np.array([value for value, _ in pairs], float)
    groups = [group for _, group in pairs]
    found = rank_percentiles(values, groups)
    for place, (value, group) in enumerate(pairs):
        peers = [v for v, g in pairs if g == group and not math.isnan(v)]
        if math.isnan(value):
            assert math.isnan(found[place])
        else:
            below = sum(v < value for v in peers) + sum(v == value for v in peers) / 2
            assert found[place] == pytest.approx(below / len(peers))


@given(RANKED, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_change_a_percentile(pairs, random) -> None:
    order = list(range(len(pairs)))
    random.shuffle(order)
    values, groups = np.array([v for v, _ in pairs], float), [g for _, g in pairs]
    shuffled = rank_percentiles(values[order], [groups[place] for place in order])
    np.testing.assert_array_equal(rank_percentiles(values, groups)[order], shuffled)


def test_one_alone_is_in_the_middle() -> None:
    assert rank_percentiles(np.array([7.0, 1.0, 2.0]), ["a", "b", "b"]).tolist() == [
        0.5,
        0.25,
        0.75,
    ]


@given(PAIRED)
def test_spearman_agrees_with_scipy_on_the_pairs_that_are_there(pairs) -> None:
    one, other = np.array(pairs, float).reshape(-1, 2).T
    rho, n = spearman(one, other)
    both = ~(np.isnan(one) | np.isnan(other))
    a, b = one[both], other[both]
    assert n == len(a)
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert rho is None
    else:
        assert rho == pytest.approx(scipy.stats.spearmanr(a, b).statistic)


def test_each_score_is_compared_with_every_other_and_length() -> None:
    rising = np.arange(5.0)
    gaps = np.array([4.0, np.nan, 2.0, 1.0, 0.0])
    length = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    found = correlate({"up": rising, "down": gaps, "flat": np.ones(5)}, length).to_pylist()
    lines = {(line["scorer"], line["other"]): (line["rho"], line["n"]) for line in found}
    assert lines == {
        ("up", "down"): (-1.0, 4),
        ("up", "flat"): (None, 5),
        ("up", "answer_length"): (1.0, 4),
        ("down", "up"): (-1.0, 4),
        ("down", "flat"): (None, 4),
        ("down", "answer_length"): (-1.0, 3),
        ("flat", "up"): (None, 5),
        ("flat", "down"): (None, 4),
        ("flat", "answer_length"): (None, 4),
    }


def test_quality_is_the_weighted_mean_of_what_is_there() -> None:
    parts = {
        "good": np.array([0.2, 0.8, np.nan, np.nan]),
        "bad": np.array([0.1, np.nan, 0.4, np.nan]),
    }
    found = combine(parts, {"good": 3.0, "bad": -1.0})
    expected = [(3 * 0.2 + 1 * 0.9) / 4, 0.8, 0.6, np.nan]
    np.testing.assert_allclose(found, expected)

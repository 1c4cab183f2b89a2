"""Quotas add up, fit the strata, keep the rare ones alive, and follow their weights otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.selection.quotas import Groups, QuotasConfig, allocate
from tests.expect import raises_code


@st.composite
def shares(draw):
    sizes = np.array(draw(st.lists(st.integers(0, 60), min_size=1, max_size=8)), np.int64)
    weight = st.one_of(st.just(0.0), st.floats(0.01, 50.0))
    weights = np.array([draw(weight) for _ in sizes])
    weights[0] = max(weights[0], 0.5)
    budget = draw(st.integers(0, int(sizes.sum())))
    return sizes, weights, budget, draw(st.integers(0, 4))


@given(shares())
def test_counts_sum_to_the_budget_and_never_exceed_a_stratum(problem):
    sizes, weights, budget, floor = problem
    counts = allocate(sizes, weights, budget, floor)
    assert counts.sum() == budget
    assert (counts >= 0).all()
    assert (counts <= sizes).all()


@given(shares())
def test_every_weighty_stratum_has_its_floor_when_the_budget_allows(problem):
    sizes, weights, budget, floor = problem
    least = np.where(weights > 0, np.minimum(sizes, floor), 0)
    counts = allocate(sizes, weights, budget, floor)
    if budget >= least.sum():
        assert (counts >= least).all()
    else:
        assert (counts <= least).all()


@given(shares())
def test_counts_are_within_one_of_a_common_multiple_of_the_weights(problem):
    """Water-filling, checked by its conditions: no λ outside the bounds of any stratum."""
    sizes, weights, budget, floor = problem
    counts = allocate(sizes, weights, budget, floor)
    least = np.where(weights > 0, np.minimum(sizes, floor), 0)
    if not least.sum() < budget < sizes[weights > 0].sum():
        return
    below, above = 0.0, np.inf
    for size, weight, low, count in zip(sizes, weights, least, counts, strict=True):
        if weight > 0 and count > low:  # more than its floor: λ · weight is near the count
            below = max(below, (count - 1) / weight)
        if weight > 0 and count < size:  # not full
            above = min(above, (count + 1) / weight)
    assert below <= above * (1 + 1e-9)


@given(shares())
def test_a_stratum_without_weight_waits_until_all_others_are_full(problem):
    sizes, weights, budget, floor = problem
    counts = allocate(sizes, weights, budget, floor)
    if counts[weights == 0].sum():
        assert (counts == sizes)[weights > 0].all()


def test_the_share_of_a_full_stratum_flows_on_by_weight():
    sizes, weights = np.array([10, 1000, 1000]), np.array([6.0, 1.0, 3.0])
    assert allocate(sizes, weights, 50, 0).tolist() == [10, 10, 30]


def test_equal_remainders_go_to_the_first_by_name():
    assert allocate(np.array([9, 9, 9]), np.ones(3), 4, 0).tolist() == [2, 1, 1]


def test_a_budget_below_the_floors_goes_to_the_heaviest_first():
    assert allocate(np.array([9, 2, 5]), np.array([1.0, 3.0, 2.0]), 4, 2).tolist() == [1, 2, 1]


GROUPS = Groups.of(["b"] * 64 + ["a"] * 16 + ["c"] * 4)


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ({"kind": "proportional"}, [4, 16, 1]),
        ({"kind": "equal"}, [9, 8, 4]),
        ({"kind": "temperature", "temperature": 2.0}, [6, 12, 3]),
        ({"kind": "temperature", "temperature": 1.0}, [4, 16, 1]),
        ({"kind": "weights", "weights": {"a": 2, "c": 1}, "min_per_stratum": 0}, [16, 1, 4]),
        ({"kind": "weights", "weights": {"a": 2, "b": 1}, "min_per_stratum": 0}, [14, 7, 0]),
    ],
)
def test_kinds_of_quotas(config, counts):
    found = QuotasConfig.model_validate(config).counts(GROUPS, 21)
    assert dict(zip(GROUPS.names, found.tolist(), strict=True)) == dict(
        zip("abc", counts, strict=True)
    )


def test_groups_do_not_depend_on_the_order_of_samples():
    names = ["b", "a", "b", "c"]
    assert Groups.of(names).names == Groups.of(names[::-1]).names == ("a", "b", "c")


def test_a_stratum_that_is_not_there_is_refused_with_the_nearest():
    config = QuotasConfig(kind="weights", weights={"ct / oben": 1.0})
    groups = Groups.of(["ct / open", "mr / closed"])
    with raises_code("quota_stratum_unknown", stratum="ct / oben", nearest=["ct / open"]):
        config.counts(groups, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "weights"},
        {"kind": "weights", "weights": {"a": 0.0, "b": 0.0}},
        {"kind": "weights", "weights": {"a": -1.0}},
        {"kind": "equal", "weights": {"a": 1.0}},
        {"kind": "temperature", "temperature": 0.0},
        {"floor": -1},
    ],
)
def test_quotas_that_say_nothing_are_refused(wrong):
    with pytest.raises(ValidationError):
        QuotasConfig.model_validate(wrong)


def test_a_budget_above_the_pool_names_both_numbers():
    with raises_code("budget_invalid", budget=85, pool=84, unit="samples"):
        QuotasConfig().counts(GROUPS, 85)

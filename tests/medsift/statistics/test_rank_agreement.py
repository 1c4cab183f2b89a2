"""Rank correlations against scipy's, and what their intervals take in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from medsift.statistics import Resampling
from medsift.statistics.rank_agreement import ScoredCells, rank_agreement
from tests.expect import raises_code

FEW = Resampling(draws=199)


def scored(means: list[float], items: int = 40, trainings: int = 1) -> ScoredCells:
    """Cells of exactly these mean scores, in every training and on every item."""
    return ScoredCells([np.full((trainings, items), mean) for mean in means], np.arange(items) // 2)


def drawn(chances: list[float], seed: int, items: int = 200, trainings: int = 3) -> ScoredCells:
    """Cells whose items are right by chance."""
    rng = np.random.default_rng(seed)
    cells = [(rng.random((trainings, items)) < chance).astype(float) for chance in chances]
    return ScoredCells(cells, np.arange(items))


scores = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.9]), min_size=3, max_size=9)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_coefficients_are_those_of_scipy(data: st.DataObject) -> None:
    first = data.draw(scores)
    second = data.draw(
        st.lists(st.sampled_from([0.0, 0.2, 0.4, 1.0]), min_size=len(first), max_size=len(first))
    )
    found = rank_agreement(scored(first), scored(second), resampling=FEW)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found.spearman.value is None
        assert found.kendall.value is None
        return
    assert found.spearman.value == pytest.approx(spearmanr(first, second).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(first, second).statistic)


def test_scores_without_noise_leave_no_interval() -> None:
    found = rank_agreement(scored([0.1, 0.2, 0.3, 0.4]), scored([0.1, 0.3, 0.2, 0.9]), None, FEW)
    assert (found.kendall.low, found.kendall.high) == (found.kendall.value,) * 2
    assert found.cells == 4


def test_only_cells_of_one_stratum_are_compared() -> None:
    # Between strata all agrees, within them everything is reversed.
    first, second = scored([0.1, 0.2, 0.3, 0.7, 0.8, 0.9]), scored([0.3, 0.2, 0.1, 0.9, 0.8, 0.7])
    within = rank_agreement(first, second, ["a"] * 3 + ["b"] * 3, FEW)
    assert within.kendall.value == within.spearman.value == -1.0
    assert (rank_agreement(first, second, None, FEW).spearman.value or 0.0) > 0.5


def test_within_strata_the_coefficient_is_the_one_of_equal_strata_on_average() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.random(8), rng.random(8)
    within = rank_agreement(scored(list(first)), scored(list(second)), [0] * 4 + [1] * 4, FEW)
    parts = [spearmanr(first[at], second[at]).statistic for at in (slice(0, 4), slice(4, 8))]
    assert within.spearman.value == pytest.approx(np.mean(parts))


def test_noise_of_trainings_alone_widens_the_interval() -> None:
    means = [0.5, 0.52, 0.54, 0.56, 0.58]
    shifts = np.array([-0.2, 0.0, 0.2])
    noisy = ScoredCells(
        [np.repeat(mean + shifts, 40).reshape(3, 40) for mean in means], np.arange(40)
    )
    assert rank_agreement(scored(means), scored(means), None, FEW).spearman.low == 1.0
    found = rank_agreement(scored(means), noisy, None, FEW)
    assert found.spearman.value == pytest.approx(1.0)
    assert (found.spearman.low or 0.0) < 0.5


def test_what_is_hard_for_all_cells_cancels() -> None:
    # Items differ wildly, cells by the same small step on each: every resample has one order.
    hard = np.random.default_rng(0).random(60) * 0.5
    cells = ScoredCells([(hard + step)[None] for step in (0.0, 0.01, 0.02)], np.arange(60))
    found = rank_agreement(cells, cells, None, FEW)
    assert (found.spearman.low, found.spearman.high) == (1.0, 1.0)


def test_intervals_cover_the_order_of_the_chances() -> None:
    chances = [0.45, 0.5, 0.55, 0.65]
    other = [0.4, 0.55, 0.5, 0.6]
    truth = spearmanr(chances, other).statistic
    covered = 0
    for seed in range(40):
        found = rank_agreement(drawn(chances, seed), drawn(other, 1000 + seed), None, FEW)
        low, high = found.spearman.low or 0.0, found.spearman.high or 0.0
        covered += low - 1e-9 <= truth <= high + 1e-9
    assert covered >= 36


def test_order_of_cells_and_a_second_call_change_nothing() -> None:
    first, second = drawn([0.2, 0.5, 0.7], 1), drawn([0.3, 0.4, 0.6], 2)
    found = rank_agreement(first, second, None, FEW)
    assert found == rank_agreement(first, second, None, FEW)
    turned = [ScoredCells(list(reversed(side.cells)), side.clusters) for side in (first, second)]
    assert rank_agreement(*turned, None, FEW).kendall.value == found.kendall.value


@pytest.mark.parametrize(("first", "second"), [([0.1, 0.2], [0.1, 0.2]), ([0.1] * 3, [0.1] * 4)])
def test_too_few_or_other_cells_are_refused(first: list[float], second: list[float]) -> None:
    with raises_code("statistic_input_invalid"):
        rank_agreement(scored(first), scored(second))


def test_a_score_outside_the_range_is_refused() -> None:
    with raises_code("statistic_input_invalid"):
        rank_agreement(scored([0.1, 0.2, 1.3]), scored([0.1, 0.2, 0.3]))

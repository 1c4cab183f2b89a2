"""Many tests at once: Holm's adjustment, and the p of one paired comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_rel

from medsift.statistics import difference
from medsift.statistics.multiple import holm, paired_p


def test_holm_is_the_published_example() -> None:
    # Sequential: 4 x 0.005, 3 x 0.01, then never below the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_holm_rejects_step_by_step(p: list[float]) -> None:
    adjusted = holm(p)
    order = sorted(range(len(p)), key=lambda place: p[place])
    rejecting = True
    for step, place in enumerate(order):
        # Holm's procedure itself: stop at the first that is above 5 % of what is left.
        rejecting = rejecting and p[place] * (len(p) - step) <= 0.05
        assert (adjusted[place] <= 0.05) == rejecting
    # Holm claims no more than a control of false discoveries, and no less than Bonferroni.
    assert (adjusted >= false_discovery_control(p, method="bh") - 1e-12).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1.0) + 1e-12).all()


@pytest.mark.parametrize("seed", range(5))
def test_p_agrees_with_the_interval_and_with_students_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.random(300)
    second = np.clip(first - 0.03 + 0.25 * rng.standard_normal(300), 0.0, 1.0)
    clusters = list(range(300))
    p = paired_p(first, second, clusters)
    gap = difference(first, second, clusters)
    assert gap.low is not None
    assert gap.high is not None
    assert (p < 0.05) == (gap.low > 0.0 or gap.high < 0.0)
    assert p == pytest.approx(float(ttest_rel(first, second).pvalue), rel=0.25, abs=0.01)


def test_equal_answers_and_a_single_group_show_nothing() -> None:
    assert paired_p([1.0, 0.0], [1.0, 0.0], ["a", "b"]) == 1.0
    assert paired_p([1.0, 1.0], [0.0, 0.0], ["a", "a"]) == 1.0
    assert paired_p([], [], []) == 1.0
    assert paired_p([1.0] * 4, [0.0] * 4, list("abcd")) == pytest.approx(0.125)

"""Means with their error: closed forms, exhaustive resampling, invariances, edges."""

from __future__ import annotations

import itertools
from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from medsift.statistics import Resampling, cluster_ids, interval, intervals
from medsift.statistics.bootstrap import (
    GROUPS,
    STEADYING,
    pool_clusters,
    resample_counts,
    resampled_variance,
    studentized_ends,
)
from medsift.statistics.cluster_variance import fit_clusters, steadied_variance
from medsift.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from medsift.statistics.interval import SHARE, estimate, estimates
from medsift.statistics.score_interval import score_interval, t_quantile
from tests.expect import raises_code


def clustered(items, groups, seed=0, correlated=True):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, groups, items)
    chance = rng.beta(2, 1, groups)[ids] if correlated else np.full(items, 0.7)
    return (rng.random(items) < chance).astype(float), np.array([f"image {i}" for i in ids])


def column(sums, counts):
    return ClusterSums(np.array(sums, float)[:, None], np.array(counts, float)[:, None])


def test_without_clusters_the_variance_is_that_of_a_share():
    scores, _ = clustered(400, 400, correlated=False)
    fit = fit_clusters(column(scores, np.ones(400)))
    share = scores.mean()
    assert fit.variance[0] == pytest.approx(share * (1 - share) / 399, rel=1e-12)
    assert fit.robust[0] == pytest.approx(share * (1 - share) / 399, rel=1e-12)


def test_with_equal_clusters_the_variance_is_that_of_their_means():
    rng = np.random.default_rng(1)
    sums = rng.integers(0, 6, 40).astype(float)
    fit = fit_clusters(column(sums, np.full(40, 5)))
    assert fit.variance[0] == pytest.approx((sums / 5).var(ddof=1) / 40, rel=1e-12)


def test_the_robust_variance_is_the_jackknife_over_clusters():
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 9, 12)
    sums = rng.binomial(counts, 0.6)
    left_out = [(sums.sum() - sums[i]) / (counts.sum() - counts[i]) for i in range(len(sums))]
    mean = sums.sum() / counts.sum()
    by_hand = 11 / 12 * sum((one - mean) ** 2 for one in left_out)
    assert fit_clusters(column(sums, counts)).robust[0] == pytest.approx(by_hand, rel=1e-12)


def test_degrees_of_freedom_are_those_of_normal_residuals_and_few_where_few_clusters_decide():
    rng = np.random.default_rng(3)
    normal = fit_clusters(ClusterSums(rng.normal(0.5, 0.1, (400, 50)), np.ones((400, 50))))
    # For normal residuals 2 E² / Var is G; the estimate varies, its middle does not.
    assert 360 < np.median(normal.freedom) < 399.5
    two_wrong = fit_clusters(column([0.0] * 2 + [1.0] * 38, np.ones(40)))
    assert two_wrong.freedom[0] < 6
    half_wrong = fit_clusters(column([0.0] * 20 + [1.0] * 20, np.ones(40)))
    assert half_wrong.freedom[0] == 39


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
def test_few_clusters_ends_solve_the_score_equation(bounds):
    rng = np.random.default_rng(4)
    counts = rng.integers(1, 6, 20)
    fit = fit_clusters(column(rng.binomial(counts, 0.8), counts))
    low, high = score_interval(fit, bounds, 0.95)
    below, above = bounds
    spread = (fit.value - below) * (above - fit.value)
    for end in (low, high):
        # At the end, the mean is exactly t standard errors away, the error being the end's own.
        error = np.sqrt(steadied_variance(fit) * (end - below) * (above - end) / spread)
        assert abs(fit.value - end) / error == pytest.approx(t_quantile(fit.freedom, 0.95))
    assert low < fit.value < high


def test_many_independent_items_have_the_normal_interval():
    scores, _ = clustered(20_000, 1, correlated=False)
    found = interval(scores, np.arange(20_000), Resampling(draws=3999))
    half = norm.ppf(0.975) * scores.std() / np.sqrt(20_000)
    assert found.value == scores.mean()
    assert found.high - found.value == pytest.approx(half, rel=0.06)
    assert found.value - found.low == pytest.approx(half, rel=0.06)


def test_clusters_that_answer_as_one_widen_the_interval_by_the_root_of_their_size():
    rng = np.random.default_rng(5)
    picture = (rng.random(400) < 0.6).astype(float)
    alone = interval(picture, np.arange(400))
    together = interval(np.repeat(picture, 9), np.repeat(np.arange(400), 9))
    # Copies of an item add no evidence at all.
    assert (together.low, together.high) == (alone.low, alone.high)
    assert (together.n, together.clusters) == (3600, 400)
    apart = interval(np.repeat(picture, 9), np.arange(3600))
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(3, rel=0.1)


def exhaustive(fit):
    """Every resample of a tiny set: distance from the mean and its linearised variance."""
    groups = fit.clusters
    shifts, variances = [], []
    for drawn in itertools.product(range(groups), repeat=groups):
        chosen = list(drawn)
        sums = (fit.residuals + fit.value * fit.counts)[chosen, 0]
        counts = fit.counts[chosen, 0]
        mean = sums.sum() / counts.sum()
        shifts.append(mean - fit.value[0])
        variances.append(
            groups / (groups - 1) * ((sums - mean * counts) ** 2).sum() / counts.sum() ** 2
        )
    return np.array(shifts), np.array(variances)


@pytest.fixture
def tiny():
    return fit_clusters(column([0.0, 1.5, 2.9, 1.1, 3.7], [2, 3, 3, 1, 4]))


def test_resamples_vary_as_all_possible_resamples_do(tiny):
    shifts, _ = exhaustive(tiny)
    wanted = (shifts**2).mean() * 5 / 4 * tiny.robust / tiny.variance
    found = resampled_variance(tiny, Resampling(draws=40_000))
    assert found == pytest.approx(wanted, rel=0.03)


def test_bootstrap_t_ends_are_quantiles_of_all_possible_resamples(tiny):
    shifts, variances = exhaustive(tiny)
    spread = (1 - STEADYING) * variances + STEADYING * tiny.variance
    quotients = np.sort(shifts / np.sqrt(spread))
    low, high = studentized_ends(tiny, Resampling(draws=40_000), 0.95)
    error = np.sqrt(tiny.robust[0])
    for end, share in ((low[0], 0.975), (high[0], 0.025)):
        quotient = (tiny.value[0] - end) / error
        below, upto = (np.searchsorted(quotients, quotient + nudge) for nudge in (-1e-9, 1e-9))
        assert below / len(quotients) - 0.004 <= share <= upto / len(quotients) + 0.004


def cell(groups, columns, seed):
    """Sums of right answers over clusters, one column with clusters that have none."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, (groups, columns)).astype(float)
    counts[rng.random(groups) < 0.3, 0] = 0
    return ClusterSums(rng.binomial(counts.astype(int), 0.7).astype(float), counts)


def test_many_cells_at_once_are_each_as_alone():
    sizes = [0, 1, 2, 30, 60, 60, *[75] * 40, GROUPS + 500, 4 * GROUPS]
    cells = [cell(groups, 1 + seed % 3, seed) for seed, groups in enumerate(sizes)]
    draws = Resampling(draws=299)
    assert estimates(cells, draws, SHARE) == [estimate(one, draws, SHARE) for one in cells]
    assert estimates([], draws, SHARE) == []


def test_resamples_are_drawn_one_by_one_whatever_is_drawn_at_once():
    rng = np.random.default_rng((3, 70))
    alone = [np.bincount(rng.integers(0, 70, 70), minlength=70) for _ in range(200)]
    assert np.array_equal(resample_counts(70, 200, seed=3), alone)


def test_every_resample_draws_as_many_clusters_as_there_are():
    counts = resample_counts(50, 5000, seed=3)
    assert (counts.sum(1, dtype=int) == 50).all()
    # Binomial(50, 1/50): mean 1, variance 49/50.
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(0.98, rel=0.02)
    with raises_code("statistic_input_invalid", clusters=GROUPS + 1):
        resample_counts(GROUPS + 1, 10, seed=0)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 2, 20, 90]), st.integers(0, 2**32))
def test_the_order_of_rows_changes_no_bit(groups, seed):
    rng = np.random.default_rng(seed)
    _, ids = clustered(300, groups, seed)
    scores = {"a": rng.random(300), "b": np.where(rng.random(300) < 0.3, np.nan, rng.random(300))}
    order = rng.permutation(300)
    again = intervals({name: column[order] for name, column in scores.items()}, ids[order])
    assert again == intervals(scores, ids)


@pytest.mark.parametrize("chunk", [1, 7, 1999, 10_000])
def test_the_size_of_chunks_changes_no_bit(chunk):
    rng = np.random.default_rng(6)
    _, ids = clustered(500, 120)
    scores = rng.random(500)
    assert interval(scores, ids, Resampling(chunk=chunk)) == interval(scores, ids)


def test_new_names_for_clusters_leave_the_figure_and_move_ends_by_chance_only():
    scores, ids = clustered(600, 150)
    renamed = np.char.add("other ", ids)
    first, second = interval(scores, ids), interval(scores, renamed)
    assert (first.value, first.n, first.clusters) == (second.value, second.n, second.clusters)
    width = first.high - first.low
    assert abs(first.low - second.low) < 0.06 * width
    assert abs(first.high - second.high) < 0.06 * width
    few = np.array([i[-1] for i in ids])
    assert interval(scores, few) == interval(scores, np.char.add("other ", few))


def test_a_seed_decides_the_draws():
    scores, ids = clustered(600, 150)
    assert interval(scores, ids, Resampling(seed=1)) == interval(scores, ids, Resampling(seed=1))
    assert interval(scores, ids, Resampling(seed=1)) != interval(scores, ids, Resampling(seed=2))


def test_cluster_ids_may_be_numbers_strings_or_arrow():
    scores, _ = clustered(100, 60)
    ids = np.arange(100) % 60
    wanted = interval(scores, ids)
    assert interval(scores, ids.astype(str)) == wanted
    assert interval(scores, pa.chunked_array([ids[:30], ids[30:]])) == wanted


def test_columns_together_are_what_they_are_alone():
    scores, ids = clustered(300, 80)
    rng = np.random.default_rng(7)
    shares = np.where(np.arange(300) % 3 == 0, np.nan, rng.random(300))
    columns = {"accuracy": scores, "f1": shares, "unparsed": 1.0 - scores, "none": shares * np.nan}
    assert intervals(columns, ids) == {
        name: interval(column, ids) for name, column in columns.items()
    }


def test_complements_mirror_each_other():
    scores, ids = clustered(300, 80)
    right, wrong = interval(scores, ids), interval(1 - scores, ids)
    assert (1 - wrong.high, 1 - wrong.low) == pytest.approx((right.low, right.high), abs=1e-9)


@pytest.mark.parametrize(
    ("scores", "ids", "wanted", "note"),
    [
        ([], [], (None, None, None, 0, 0), "nothing to score"),
        ([np.nan] * 3, [1, 2, 3], (None, None, None, 0, 0), "nothing to score"),
        ([1, 0, 0, 0], [5, 5, 5, 5], (0.25, None, None, 4, 1), "one cluster: no interval"),
    ],
)
def test_where_there_is_no_interval_the_note_says_why(scores, ids, wanted, note):
    found = interval(scores, ids)
    assert astuple(found) == wanted
    assert found.note == note
    assert found.few


def test_few_items_and_few_clusters_are_marked():
    scores, _ = clustered(30, 30)
    assert interval(scores[:29], np.arange(29)).few
    found = interval(scores, np.arange(30))
    assert not found.few
    assert found.note is not None
    assert found.note.startswith("30 clusters")
    assert interval(*clustered(500, 100)).note is None


@pytest.mark.parametrize("groups", [7, 63, 5000])
def test_all_right_has_the_exact_interval_of_its_clusters(groups):
    ids = np.repeat(np.arange(groups), 2)
    exact = binomtest(groups, groups).proportion_ci(method="exact")
    right = interval(np.ones(2 * groups), ids)
    assert (right.low, right.high) == pytest.approx((exact.low, 1.0), abs=1e-9)
    wrong = interval(np.zeros(2 * groups), ids)
    assert (wrong.low, wrong.high) == pytest.approx((0.0, 1 - exact.low), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 70).flatmap(
        lambda n: st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, n)), min_size=1, max_size=3 * n
        )
    )
)
def test_an_interval_lies_in_bounds_and_around_its_mean(rows):
    scores, ids = zip(*rows, strict=True)
    found = interval(scores, ids)
    assert found.value == pytest.approx(np.mean(scores))
    if found.clusters > 1:
        assert 0 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1


def test_pooled_clusters_give_the_interval_of_all_of_them():
    scores, ids = clustered(60_000, 20_000)
    data = sum_clusters(scores[:, None], number_clusters(ids))
    whole, pooled = fit_clusters(data), fit_clusters(pool_clusters(data))
    assert pooled.clusters == GROUPS
    assert pooled.value == pytest.approx(whole.value, rel=1e-12)
    assert pooled.variance == pytest.approx(whole.variance, rel=0.1)
    found = interval(scores, ids)
    half = norm.ppf(0.975) * np.sqrt(whole.variance[0])
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert found.clusters == len(data.sums)


@pytest.mark.parametrize(
    ("scores", "values"),
    [
        ([0.5, 1.2], {"name": "score", "value": 1.2}),
        ([0.5, -0.1], {"name": "score", "value": -0.1}),
        ([0.5, 0.1, 1], {"name": "score", "shape": (3,)}),
    ],
)
def test_bad_scores_are_refused_by_value(scores, values):
    with raises_code("statistic_input_invalid", **values):
        interval(scores, [1, 2])


def test_a_row_without_a_cluster_is_refused():
    with raises_code("predictions_incomplete", unnamed=1):
        interval([0.5, 1], ["a", None])


def test_rows_of_one_picture_belong_to_its_patient_wherever_one_row_names_it():
    table = pa.table(
        {
            "patient_id": ["p", None, None, "p", None],
            "image_id": ["a", "a", "b", "c", None],
            "item_id": ["1", "2", "3", "4", "5"],
        }
    )
    assert cluster_ids(table).to_pylist() == [
        "patient:p",
        "patient:p",
        "image:b",
        "patient:p",
        "item:5",
    ]
    assert cluster_ids(table.drop(["patient_id"])).to_pylist()[0] == "image:a"
    unnamed = pa.table({"image_id": pa.array(["a", None])})
    with raises_code("predictions_incomplete", unnamed=1):
        cluster_ids(unnamed)

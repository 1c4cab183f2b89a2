"""Intervals of nominal 95% cover the truth in 93 to 97% of simulated sets.

`make test` simulates a few cells on either side of each boundary between the methods; the whole
grid is nightly. `benchmarks/intervals.py --coverage` prints more, also of percentile intervals.
"""

from __future__ import annotations

import numpy as np
import pytest

from medsift.statistics import Resampling
from medsift.statistics.bootstrap import resampled_variance
from medsift.statistics.cluster_variance import fit_clusters, steadied_variance
from medsift.statistics.clusters import ClusterSums
from medsift.statistics.interval import ends
from medsift.statistics.score_interval import FEW_CLUSTERS, t_quantile
from medsift.statistics.seeds import cluster_part

SETS = {20: 4000, 63: 4000, 64: 4000, 78: 4000, 80: 4000, 203: 2000}
ICCS = (0.0, 0.2, 0.6)
KINDS = (5, "vqa_rad", "geometric")


def covered(simulation, groups, kind, mean, icc):
    """Return the percentage of simulated sets whose interval covers the true mean."""
    sizes = simulation.sizes(kind, (groups, SETS[groups]))
    data = ClusterSums(simulation.right(sizes, mean, icc), sizes.astype(float))
    low, high = ends(data, Resampling(draws=999))
    return 100 * np.mean((low <= mean) & (mean <= high))


@pytest.mark.parametrize(
    ("groups", "kind", "mean", "icc", "highest"),
    [
        (20, 5, 0.5, 0.6, 97),
        (20, "vqa_rad", 0.5, 0.2, 97),
        # Rare wrong answers and few clusters: caution is allowed, as in the nightly grid.
        (20, "geometric", 0.9, 0.6, 98.5),
        (63, "vqa_rad", 0.9, 0.2, 97),
        (63, "geometric", 0.5, 0.6, 97),
        (20, "pareto", 0.9, 0.6, 99),
        (63, "pareto", 0.95, 0.2, 99),
    ],
)
def test_intervals_cover_the_mean(simulated, groups, kind, mean, icc, highest):
    assert 93 <= covered(simulated(seed=10), groups, kind, mean, icc) <= highest


@pytest.mark.parametrize(("kind", "highest"), [("vqa_rad", 97), ("pareto", 99)])
def test_intervals_cover_the_difference(simulated, kind, highest):
    # Simulated with a gain and a dependence within clusters, where the methods differ most.
    assert 93 <= covered_gains(simulated(seed=13), 63, kind, 0.1, 0.04, 0.6) <= highest


@pytest.mark.nightly
@pytest.mark.parametrize("groups", [63, 203])
@pytest.mark.parametrize("mean", [0.5, 0.9])
def test_many_clusters_cover_93_to_97_percent(simulated, groups, mean):
    simulation = simulated(seed=10)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, groups, kind, mean, icc) <= 97, (icc, kind)


@pytest.mark.nightly
def test_twenty_clusters_cover_93_to_97_percent_where_wrong_answers_are_not_rare(simulated):
    simulation = simulated(seed=11)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, 20, kind, 0.5, icc) <= 97, (icc, kind)


@pytest.mark.nightly
def test_twenty_clusters_with_rare_wrong_answers_err_on_the_side_of_caution(simulated):
    # Of 40 items 4 are wrong: all right comes up so often that no interval can miss it.
    simulation = simulated(seed=12)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, 20, kind, 0.9, icc) <= 98.5, (icc, kind)


@pytest.mark.nightly
@pytest.mark.parametrize("groups", [20, 63, 203])
def test_a_few_clusters_that_hold_most_items_are_not_trusted_too_far(simulated, groups):
    # A bootstrap-t covers 87% here: in many sets none of the large clusters is wrong.
    simulation = simulated(seed=15)
    for mean in (0.5, 0.9, 0.95):
        for icc in ICCS:
            assert 93 <= covered(simulation, groups, "pareto", mean, icc) <= 99, (mean, icc)


@pytest.mark.nightly
@pytest.mark.parametrize("groups", [63, 203])
def test_differences_cover_93_to_97_percent(simulated, groups):
    simulation = simulated(seed=13)
    for apart, gain, icc in ((0.1, 0.04, 0.0), (0.1, 0.04, 0.6), (0.3, 0.0, 0.3)):
        for kind in KINDS:
            percent = covered_gains(simulation, groups, kind, apart, gain, icc)
            assert 93 <= percent <= 97, (apart, icc, kind)


@pytest.mark.nightly
@pytest.mark.parametrize("groups", [63, 203])
def test_differences_over_uneven_clusters_err_on_the_side_of_caution(simulated, groups):
    # The bootstrap covers down to 88% here.
    simulation = simulated(seed=16)
    for apart, gain, icc in ((0.1, 0.04, 0.0), (0.1, 0.04, 0.6), (0.3, 0.0, 0.3)):
        percent = covered_gains(simulation, groups, "pareto", apart, gain, icc)
        assert 93 <= percent <= 99, (apart, icc)


def covered_gains(simulation, groups, kind, apart, gain, icc):
    """Return the percentage of simulated sets whose interval covers the true gain."""
    sizes = simulation.sizes(kind, (groups, SETS[groups]))
    gains = simulation.net_gains(sizes, apart, gain, icc)
    covers = np.abs(gains.sum(0) / sizes.sum(0) - gain) <= half_widths(gains, sizes)
    return 100 * covers.mean()


def half_widths(gains, sizes):
    """Return the half width of each set's interval by its method; arrays are (clusters, sets)."""
    fit = fit_clusters(ClusterSums(gains, sizes.astype(float)))
    few = fit.effective < len(sizes) / 2
    variance = np.where(few, steadied_variance(fit), resampled_variance(fit, Resampling(draws=499)))
    freedom = np.where(few, fit.freedom, len(sizes) - 1.0)
    for one in (0, 1):  # as the product does it, one set at a time
        alone = fit_clusters(ClusterSums(gains[:, [one]], sizes[:, [one]].astype(float)))
        assert cluster_part(alone, Resampling(draws=499)) == pytest.approx(
            (variance[one], freedom[one]), rel=1e-9
        )
    return t_quantile(freedom, 0.95) * np.sqrt(variance)


def test_the_boundary_between_the_methods_is_no_step(simulated):
    simulation = simulated(seed=14)
    for groups, kind in (
        (FEW_CLUSTERS - 1, 3),
        (FEW_CLUSTERS, 3),
        (78, "vqa_rad"),
        (80, "vqa_rad"),
    ):
        assert 93 <= covered(simulation, groups, kind, 0.7, 0.2) <= 97

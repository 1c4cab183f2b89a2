"""Nominal 95% holds the truth in 93 to 97% of simulated sets.

`benchmarks/intervals.py --coverage` prints more of the same, and what it costs to use percentiles.
"""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.statistics import Resampling
from evaluation.statistics.bootstrap import resampled_variance
from evaluation.statistics.clusters import ClusterSums
from evaluation.statistics.few import t_quantile
from evaluation.statistics.fit import fit_clusters
from evaluation.statistics.interval import FEW_CLUSTERS, ends

SETS = {20: 4000, 49: 4000, 50: 4000, 63: 4000, 203: 2000}
ICCS = (0.0, 0.2, 0.6)
KINDS = (5, "vqa_rad", "geometric")


def covered(simulation, groups, kind, mean, icc):
    """Share of sets, in percent, whose interval holds the mean; the truth is the same in all."""
    sizes = simulation.sizes(kind, (groups, SETS[groups]))
    data = ClusterSums(simulation.right(sizes, mean, icc), sizes.astype(float))
    low, high = ends(data, Resampling(draws=999))
    return 100 * np.mean((low <= mean) & (mean <= high))


@pytest.mark.parametrize("groups", [63, 203])
@pytest.mark.parametrize("mean", [0.5, 0.9])
def test_many_clusters_cover_93_to_97_percent(simulated, groups, mean):
    simulation = simulated(seed=10)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, groups, kind, mean, icc) <= 97, (icc, kind)


def test_twenty_clusters_cover_93_to_97_percent_where_wrong_answers_are_not_rare(simulated):
    simulation = simulated(seed=11)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, 20, kind, 0.5, icc) <= 97, (icc, kind)


def test_twenty_clusters_with_rare_wrong_answers_err_on_the_side_of_caution(simulated):
    # Of 40 items 4 are wrong: all right comes up so often that no interval can miss it.
    simulation = simulated(seed=12)
    for icc in ICCS:
        for kind in KINDS:
            assert 93 <= covered(simulation, 20, kind, 0.9, icc) <= 98.5, (icc, kind)


@pytest.mark.parametrize("groups", [63, 203])
def test_differences_cover_93_to_97_percent(simulated, groups):
    simulation = simulated(seed=13)
    for apart, gain, icc in ((0.1, 0.04, 0.0), (0.1, 0.04, 0.6), (0.3, 0.0, 0.3)):
        for kind in KINDS:
            sizes = simulation.sizes(kind, (groups, SETS[groups]))
            gains = simulation.net_gains(sizes, apart, gain, icc)
            fit = fit_clusters(ClusterSums(gains, sizes.astype(float)))
            variance = resampled_variance(fit, Resampling(draws=499))
            half = t_quantile(np.array([groups - 1.0]), 0.95) * np.sqrt(variance)
            held = np.abs(fit.value - gain) <= half
            assert 93 <= 100 * held.mean() <= 97, (apart, icc, kind)


def test_the_boundary_between_the_methods_is_no_step(simulated):
    simulation = simulated(seed=14)
    for groups in (FEW_CLUSTERS - 1, FEW_CLUSTERS):
        assert 93 <= covered(simulation, groups, "vqa_rad", 0.7, 0.2) <= 97

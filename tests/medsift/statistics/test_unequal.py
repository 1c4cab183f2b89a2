"""The variance of a mean whose clusters differ in size."""

from __future__ import annotations

import numpy as np
import pytest

from medsift.statistics.cluster_variance import fit_clusters, steadied_variance
from medsift.statistics.clusters import ClusterSums
from medsift.statistics.score_interval import FEW_CLUSTERS, too_few


def fitted(sizes, seed=0, icc=0.4):
    rng = np.random.default_rng(seed)
    scale = 1 / icc - 1
    chance = rng.beta(0.8 * scale, 0.2 * scale, len(sizes))
    right = rng.binomial(sizes, chance).astype(float)
    return fit_clusters(ClusterSums(right[:, None], np.asarray(sizes, float)[:, None]))


def test_clusters_of_equal_size_have_the_variance_of_their_residuals():
    for seed in range(20):
        fit = fitted(np.full(17, 4), seed)
        assert steadied_variance(fit) == pytest.approx(fit.robust, rel=1e-12)


def test_over_many_sets_it_is_the_variance_of_the_mean_and_seldom_far_below():
    rng = np.random.default_rng(1)
    sizes = np.minimum(1 + 3 * rng.pareto(1.5, 80), 60).astype(int)
    fits = [fitted(sizes, seed) for seed in range(1500)]
    wanted = np.var([fit.value[0] for fit in fits])
    steadied = np.array([steadied_variance(fit)[0] for fit in fits])
    robust = np.array([fit.robust[0] for fit in fits])
    assert steadied.mean() == pytest.approx(wanted, rel=0.15)
    # A large cluster that happens to be right lends no certainty that the next one is.
    assert np.mean(steadied < wanted / 2) < np.mean(robust < wanted / 2) / 2


def test_few_are_fewer_than_64_or_those_of_which_a_few_hold_most_items():
    assert too_few(fitted(np.full(FEW_CLUSTERS - 1, 3)))
    assert not too_few(fitted(np.full(FEW_CLUSTERS, 3)))
    assert too_few(fitted(np.array([500, *[1] * 400])))
    assert fitted(np.array([1, 1, 2])).effective[0] == pytest.approx(16 / 6)

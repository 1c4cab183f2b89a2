"""Crowded, alone and rare: against the definitions, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curation.pool import KnnGraph
from curation.scoring.neighborhood import farthest_distance, mean_similarity
from curation.scoring.tag_rarity import surprise

GRAPH = KnnGraph(
    index=np.array([[1, 2], [0, -1], [-1, -1]]),
    similarity=np.array([[0.9, 0.5], [0.25, -np.inf], [-np.inf, -np.inf]], np.float32),
    method="exact",
    recall=1.0,
)


def test_density_is_the_mean_over_the_neighbours_there_are() -> None:
    np.testing.assert_allclose(mean_similarity(GRAPH), [0.7, 0.25, np.nan], rtol=1e-6)


def test_rarity_is_the_distance_to_the_last_neighbour() -> None:
    np.testing.assert_allclose(farthest_distance(GRAPH), [0.5, 0.75, np.nan], rtol=1e-6)


def test_the_share_of_a_stratum_is_its_surprise() -> None:
    found = surprise(["a", "a", "b", "a"])
    assert found == pytest.approx([-math.log(0.75)] * 2 + [-math.log(0.25), -math.log(0.75)])


def test_a_crowd_is_dense_and_an_outlier_is_rare(noisy) -> None:
    density, rarity = noisy.value("density"), noisy.value("rarity")
    assert np.isfinite(density).all()
    assert (density <= 1.0 + 1e-6).all()
    # The mean is at least the least: a bound that holds only if both read the same graph.
    assert (density >= 1.0 - rarity - 1e-6).all()
    assert np.corrcoef(density, rarity)[0, 1] < -0.5

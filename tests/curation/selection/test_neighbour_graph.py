"""The pool's graph past the size of exact search: most true neighbours, the share measured."""

from __future__ import annotations

import numpy as np
import pytest

from curation.neighbors import NeighborsConfig, approximate_nearest, join
from curation.pool import build_graph
from tests.curation.selection.conftest import planted_vectors
from tests.expect import raises_code


@pytest.fixture(scope="module")
def vectors():
    made = planted_vectors(1500, 0, clusters=30)
    made[5] = 0.0
    made[8] = made[7]
    return made


def shared(found, exact):
    """Share of the exact neighbours among those found."""
    pairs = zip(found, exact, strict=True)
    return np.mean([len(set(one.tolist()) & set(two.tolist())) / len(one) for one, two in pairs])


def test_when_every_cell_is_searched_the_neighbours_are_exact(vectors):
    found = approximate_nearest(vectors, 12, NeighborsConfig(nlist=20, nprobe=20))
    exact = join(vectors, k=12)
    assert found.recall == 1.0
    there = np.isfinite(exact.similarities)
    assert (np.isfinite(found.similarity) == there).all()
    np.testing.assert_allclose(found.similarity[there], exact.similarities[there], atol=1e-5)
    assert shared(found.index, exact.neighbours) > 0.999


def test_recall_is_the_share_of_true_neighbours(vectors):
    config = NeighborsConfig(nlist=100, nprobe=2, recall_sample=1500)
    found = approximate_nearest(vectors, 12, config)
    exact = join(vectors, k=12)
    rows = np.flatnonzero(vectors.any(axis=1))
    assert found.recall < 0.99
    assert found.recall == pytest.approx(
        shared(found.index[rows], exact.neighbours[rows]), abs=2e-3
    )


def test_nobody_is_its_own_neighbour_and_a_zero_vector_is_nobodys(vectors):
    found = approximate_nearest(vectors, 12, NeighborsConfig(nlist=50, nprobe=3))
    assert (found.index != np.arange(1500)[:, None]).all()
    assert (found.index[5] == -1).all()
    assert not (found.index == 5).any()
    assert (found.index[7, 0], found.index[8, 0]) == (8, 7)
    assert (np.diff(found.similarity[np.isfinite(found.similarity).all(axis=1)]) <= 0).all()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_fewer_samples_than_neighbours_leave_places_empty(n):
    found = approximate_nearest(planted_vectors(max(n, 1), 0)[:n], 4, NeighborsConfig())
    assert ((found.index >= 0).sum(axis=1) == max(0, n - 1)).all()
    assert found.recall == 1.0


def test_settings_out_of_range_and_broken_vectors_are_refused(vectors):
    with raises_code("search_setting_invalid"):
        approximate_nearest(vectors, 0, NeighborsConfig())
    broken = vectors.copy()
    broken[3, 0] = np.inf
    with raises_code("vectors_invalid", row=3, rows=1):
        approximate_nearest(broken, 4, NeighborsConfig())


def test_a_pool_above_the_limit_is_searched_by_cells_and_says_so(candidates):
    vectors, config = candidates.pool.vectors, candidates.config
    found = build_graph(vectors, config, NeighborsConfig(exact_up_to=199, nprobe=64))
    assert (found.method, found.recall) == ("ivf", 1.0)
    np.testing.assert_allclose(found.similarity, candidates.graph.similarity, atol=1e-5)
    assert candidates.graph.method == "exact"

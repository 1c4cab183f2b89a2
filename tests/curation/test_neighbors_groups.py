"""Survivors, groups, clusters and approximate search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.neighbors import (
    CellSearch,
    NeighborsConfig,
    Pairs,
    find_pairs,
    greedy_survivors,
    kmeans,
    pairs_above,
)
from medsift.connected import connected_components
from tests.expect import raises_code


def random_pairs(seed: int, n: int, count: int) -> Pairs:
    rng = np.random.default_rng(seed)
    keys = rng.choice(n * n, size=min(count, n * n), replace=False)
    left, right = keys // n, keys % n
    above = left < right
    return Pairs.of(left[above], right[above], np.ones(above.sum()))


def adjacency(n: int, pairs: Pairs) -> np.ndarray:
    near = np.zeros((n, n), dtype=bool)
    near[pairs.left, pairs.right] = near[pairs.right, pairs.left] = True
    return near


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), count=st.integers(0, 200))
def test_every_dropped_row_has_its_earliest_kept_neighbour_as_witness(seed, n, count):
    pairs, order = random_pairs(seed, n, count), np.random.default_rng(seed).permutation(n)
    witness = greedy_survivors(n, pairs, order)
    near, rank = adjacency(n, pairs), np.argsort(order)
    kept = witness == -1
    assert not near[np.ix_(kept, kept)].any()
    for row in np.flatnonzero(~kept):
        neighbours = np.flatnonzero(near[row] & kept & (rank < rank[row]))
        assert witness[row] == min(neighbours, key=lambda other: rank[other])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30))
def test_survivors_do_not_depend_on_row_numbers(seed, n):
    pairs, rng = random_pairs(seed, n, 3 * n), np.random.default_rng(seed)
    order, names = rng.permutation(n), rng.permutation(n)
    plain = greedy_survivors(n, pairs, order)
    renamed = greedy_survivors(n, pairs.renamed(names), names[order])
    assert np.array_equal(renamed[names], np.where(plain < 0, -1, names[plain]))


def test_a_chain_drops_only_what_is_near_a_kept_row():
    chain = Pairs.of(np.arange(4), np.arange(1, 5), np.ones(4))
    assert greedy_survivors(5, chain, np.arange(5)).tolist() == [-1, 0, -1, 2, -1]
    assert greedy_survivors(0, Pairs.empty(), np.arange(0)).tolist() == []
    assert greedy_survivors(3, Pairs.empty(), np.array([2, 0, 1])).tolist() == [-1, -1, -1]


def test_an_order_that_is_no_permutation_is_refused():
    for order in ([0, 1], [0, 1, 1], [0, 1, 3]):
        with raises_code("search_setting_invalid", rows=len(order)):
            greedy_survivors(3, Pairs.empty(), np.array(order))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), count=st.integers(0, 60))
def test_components_are_named_by_their_smallest_row(seed, n, count):
    pairs = random_pairs(seed, n, count)
    label = np.arange(n)
    for _ in range(n):
        for a, b in zip(pairs.left, pairs.right, strict=True):
            label[a] = label[b] = min(label[a], label[b])
    assert np.array_equal(connected_components(n, pairs.left, pairs.right), label)


def blobs(seed: int, groups: int, each: int, d: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.standard_normal((groups, d)), each, axis=0)
    rows = (rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_kmeans_repeats_itself_and_assigns_the_nearest_centroid():
    vectors = blobs(0, 5, 40)
    centroids, cluster = kmeans(vectors, 5, seed=3, iterations=15)
    again, same = kmeans(vectors, 5, seed=3, iterations=15)
    assert np.array_equal(centroids, again)
    assert np.array_equal(cluster, same)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(cluster, (vectors @ centroids.T).argmax(1))
    for k in (0, 201):
        with raises_code("search_setting_invalid", k=k):
            kmeans(vectors, k, seed=0)


def test_approximate_pairs_are_true_pairs_and_all_of_them_when_every_cell_is_searched():
    vectors = blobs(1, 60, 10)
    exact = pairs_above(vectors, 0.9)
    config = NeighborsConfig(exact_up_to=0, nlist=12, nprobe=12, recall_sample=100)
    search = find_pairs(vectors, 0.9, config)
    found = search.pairs
    assert search.recall == 1.0
    assert np.array_equal(found.left, exact.left)
    assert np.array_equal(found.right, exact.right)
    assert np.array_equal(found.similarity, exact.similarity)


def test_the_measured_recall_is_the_true_one_when_every_row_is_sampled():
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((800, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = pairs_above(vectors, 0.8)
    config = NeighborsConfig(exact_up_to=0, nlist=60, nprobe=1, recall_sample=800)
    found = find_pairs(vectors, 0.8, config)
    assert found.recall == pytest.approx(len(found.pairs) / len(exact))
    assert 0.0 < found.recall < 1.0


def test_approximate_search_of_nothing_finds_nothing():
    cells = CellSearch(np.ones((0, 1), dtype=np.float32), 0.9, NeighborsConfig())
    assert (list(cells), cells.recall) == ([], 1.0)
    found = find_pairs(np.ones((1, 1), dtype=np.float32), 0.9, NeighborsConfig(exact_up_to=0))
    assert (len(found.pairs), found.recall, found.method) == (0, 1.0, "ivf")
    with raises_code("search_setting_invalid"):
        find_pairs(blobs(3, 2, 2), 0.0, NeighborsConfig(exact_up_to=0))

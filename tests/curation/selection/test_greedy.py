"""Lazy greedy is greedy, and greedy is as good as theory says."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from curation.neighbors import join
from curation.pool import KnnGraph
from curation.selection.greedi import two_rounds
from curation.selection.greedy import greedy
from curation.selection.neighbor_matrix import Similarities, make_symmetric
from tests.curation.selection.conftest import dense, planted_vectors


def value(matrix, mass, chosen):
    return int((matrix[list(chosen)].max(axis=0, initial=0) * mass).sum())


def naive(matrix, mass, group, counts):
    """Greedy as it is defined: the greatest gain, of equals the first, in a group with room."""
    left, served = list(counts), np.zeros(len(matrix), np.int64)
    order, gains = [], []
    while any(left):
        gain = (np.maximum(matrix - served, 0) * mass).sum(axis=1)
        gain = [
            -1 if row in order or not left[group[row]] else gain[row] for row in range(len(matrix))
        ]
        best = int(np.argmax(gain))
        order.append(best)
        gains.append(gain[best])
        left[group[best]] -= 1
        served = np.maximum(served, matrix[best])
    return order, gains


@st.composite
def problems(draw, most=24):
    """Sparse matrices of few different values, so that ties abound."""
    n = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    matrix = rng.integers(1, draw(st.integers(2, 6)), (n, n))
    matrix *= rng.random((n, n)) < draw(st.floats(0.05, 0.9))
    matrix = np.maximum(matrix, matrix.T)
    np.fill_diagonal(matrix, draw(st.integers(1, 6)))
    groups = draw(st.integers(1, 3))
    group = rng.integers(0, groups, n)
    sizes = np.bincount(group, minlength=groups)
    counts = np.array([draw(st.integers(0, int(size))) for size in sizes])
    mass = rng.integers(1, draw(st.integers(2, 4)), n)
    return matrix, mass, group, counts


def sparse(matrix):
    return Similarities(csr_array(matrix.astype(np.int32)))


@settings(deadline=None, max_examples=300)
@given(problems())
def test_blocks_pick_what_greedy_picks_in_its_order_with_ties_and_quotas(problem):
    matrix, mass, group, counts = problem
    order, gains = naive(matrix, mass, group, counts)
    found = greedy(sparse(matrix), mass, group, counts)
    assert found.order.tolist() == order
    assert found.gain.tolist() == gains


@pytest.mark.parametrize("seed", range(3))
def test_many_blocks_pick_what_greedy_picks(seed):
    n = 400
    found = join(planted_vectors(n, seed), k=8)
    values = make_symmetric(KnnGraph(found.neighbours, found.similarities, "exact", 1.0))
    mass, group = np.ones(n, np.int64), np.arange(n) % 3
    counts = np.array([70, 10, 133])
    order, _ = naive(dense(values), mass, group, counts)
    assert greedy(values, mass, group, counts).order.tolist() == order


@settings(deadline=None, max_examples=100)
@given(problems(most=9), st.integers(1, 4))
def test_greedy_reaches_1_minus_1_over_e_of_the_best_subset(problem, count):
    matrix, mass, _, _ = problem
    n = len(matrix)
    count = min(count, n)
    best = max(value(matrix, mass, chosen) for chosen in combinations(range(n), count))
    found = greedy(sparse(matrix), mass, np.zeros(n, np.int64), np.array([count]))
    assert value(matrix, mass, found.order) == found.gain.sum()
    assert found.gain.sum() >= (1 - 1 / np.e) * best


@settings(deadline=None, max_examples=100)
@given(problems(most=9))
def test_greedy_with_quotas_reaches_half_of_the_best_subset(problem):
    matrix, mass, group, counts = problem
    n = len(matrix)
    allowed = (
        chosen
        for chosen in combinations(range(n), int(counts.sum()))
        if (np.bincount(group[list(chosen)], minlength=len(counts)) == counts).all()
    )
    best = max(value(matrix, mass, chosen) for chosen in allowed)
    assert greedy(sparse(matrix), mass, group, counts).gain.sum() >= best / 2


@settings(deadline=None, max_examples=60)
@given(problems())
def test_without_quotas_a_smaller_budget_is_a_beginning_of_a_larger_one(problem):
    matrix, mass, _, _ = problem
    n = len(matrix)
    group = np.zeros(n, np.int64)
    whole = greedy(sparse(matrix), mass, group, np.array([n]))
    some = greedy(sparse(matrix), mass, group, np.array([n // 2]))
    assert whole.order[: n // 2].tolist() == some.order.tolist()
    assert (np.diff(whole.gain) <= 0).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_two_rounds_reach_95_percent_of_one_greedy_on_clusters(seed, share):
    n = 2000
    found = join(planted_vectors(n, seed, clusters=50), k=16)
    values = make_symmetric(KnnGraph(found.neighbours, found.similarities, "exact", 1.0))
    rng = np.random.default_rng(seed)
    mass, group = np.ones(n, np.int64), rng.integers(0, 3, n)
    counts = np.round(share * np.bincount(group)).astype(np.int64)
    one = greedy(values, mass, group, counts)
    two = two_rounds(values, mass, group, counts, rng.integers(0, 6, n), lambda f, i: [*map(f, i)])
    assert (np.bincount(group[two.order]) == counts).all()
    assert two.gain.sum() >= 0.95 * one.gain.sum()


def test_two_rounds_meet_quotas_that_one_part_holds_alone():
    n, part = 12, np.array([0] * 8 + [1, 2, 3, 3])
    group = (np.arange(n) >= 8).astype(np.int64)
    counts = np.array([7, 3])
    values = sparse(np.eye(n, dtype=np.int64))
    found = two_rounds(values, np.ones(n, np.int64), group, counts, part, lambda f, i: [*map(f, i)])
    assert np.bincount(group[found.order]).tolist() == [7, 3]

"""Coverage, its curve and the weights, against the dense matrix they are defined on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.pool import KnnGraph
from curation.pool.groups import Groups
from curation.selection.coverage import distribute_mass, measure_coverage, measure_curve
from curation.selection.neighbor_matrix import UNIT, make_symmetric
from tests.curation.selection.conftest import dense


def chosen_of(candidates, count, seed=0):
    return np.random.default_rng(seed).permutation(len(candidates))[:count]


def test_two_samples_are_similar_if_either_is_a_neighbour_of_the_other(candidates):
    matrix = dense(candidates.similarities)
    n = len(candidates)
    expected = np.zeros((n, n), np.int64)
    for row, (others, cosines) in enumerate(
        zip(candidates.graph.index, candidates.graph.similarity, strict=True)
    ):
        for other, cosine in zip(others, cosines, strict=True):
            value = round(max(0.0, float(cosine)) * UNIT)
            expected[row, other] = expected[other, row] = max(expected[row, other], value)
    np.fill_diagonal(expected, UNIT)
    assert (matrix == expected).all()


def test_missing_neighbours_and_negative_cosines_are_no_similarity():
    graph = KnnGraph(
        np.array([[1, 2], [0, -1], [0, -1]]),
        np.array([[0.5, -0.25], [0.5, -np.inf], [-0.25, -np.inf]], np.float32),
        "exact",
        1.0,
    )
    half = UNIT // 2
    assert dense(make_symmetric(graph)).tolist() == [[UNIT, half, 0], [half, UNIT, 0], [0, 0, UNIT]]


@pytest.mark.parametrize("count", [1, 7, 60, 200])
def test_coverage_is_facility_location_over_its_maximum(candidates, count):
    chosen = chosen_of(candidates, count)
    served = dense(candidates.similarities)[chosen].max(axis=0)
    expected = (served * candidates.mass).sum() / (UNIT * candidates.mass.sum())
    found = measure_coverage(candidates, chosen)
    assert found == pytest.approx(expected, abs=1e-15)


def test_the_whole_pool_covers_all_and_nothing_covers_nothing(candidates):
    everything = np.arange(len(candidates))
    assert measure_coverage(candidates, everything) == 1.0
    assert measure_coverage(candidates, everything[:0]) == 0.0


def test_a_curve_is_the_coverage_of_each_beginning(candidates):
    order, sizes = chosen_of(candidates, 90), np.array([1, 2, 30, 90])
    found = measure_curve(candidates, order, sizes)
    expected = [measure_coverage(candidates, order[:size]) for size in sizes]
    assert found.coverage.tolist() == expected
    assert found.size.tolist() == sizes.tolist()


@pytest.mark.parametrize("count", [1, 5, 60, 200])
def test_weights_are_the_mass_a_sample_represents_and_sum_to_the_pool(candidates, count):
    order, strata = chosen_of(candidates, count), candidates.strata.code
    matrix, mass = dense(candidates.similarities), candidates.mass
    expected = np.zeros(count)
    for sample in range(len(candidates)):
        near = matrix[sample, order]
        own = np.flatnonzero(order == sample)
        if len(own):
            expected[own[0]] += mass[sample]
        elif near.max() > 0:
            expected[int(np.argmax(near))] += mass[sample]
        else:
            mine = np.flatnonzero(strata[order] == strata[sample])
            mine = mine if len(mine) else np.arange(count)
            expected[mine] += mass[sample] / len(mine)
    found = distribute_mass(candidates, order)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.sum() == pytest.approx(mass.sum())


def test_a_copy_keeps_its_own_mass_next_to_its_selected_twin(candidates):
    graph = KnnGraph(np.array([[1], [0]]), np.ones((2, 1), np.float32), "exact", 1.0)
    pool = replace(
        candidates.pool,
        samples=candidates.pool.samples.slice(0, 2),
        mass=np.array([3.0, 5.0]),
        strata=Groups.one(2),
    )
    twins = replace(candidates, pool=pool, graph=graph)
    assert distribute_mass(twins, np.array([1, 0])).tolist() == [5.0, 3.0]

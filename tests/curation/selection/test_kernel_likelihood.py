"""Kernel likelihood is plain greedy on the log-likelihood of a kernel density estimate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from curation.selection.greedy import greedy
from curation.selection.kernel_likelihood import (
    KERNEL_UNIT,
    LOG_UNIT,
    KernelLikelihoodConfig,
    LogOfSum,
    kernel_of,
)
from curation.selection.method import SelectionContext
from curation.selection.neighbor_matrix import Similarities
from curation.selection.quotas import Groups
from tests.curation.selection.conftest import dense


def quality_of(candidates):
    return np.random.default_rng(1).random(len(candidates))


def picked(candidates, count, **settings):
    everyone = Groups.one(len(candidates))
    context = SelectionContext(candidates, everyone, quality_of(candidates))
    return KernelLikelihoodConfig(**settings).picker(context)(np.array([count]))


def plain_greedy(kernel, table, mass, code, counts):
    """Every row's gain anew for every pick; of equal gains the first row."""
    left, sums, order, gains = counts.copy(), np.zeros(len(kernel), np.int64), [], []
    while left.any():
        best = (-1, -1)
        for row in range(len(kernel)):
            if row not in order and left[code[row]]:
                gain = int((mass * (table[sums + kernel[row]] - table[sums])).sum())
                best = max(best, (gain, -row))
        gains.append(best[0])
        order.append(-best[1])
        left[code[order[-1]]] -= 1
        sums += kernel[order[-1]]
    return order, gains


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("grouped", [False, True])
def test_it_is_plain_greedy_to_the_last_unit(make_candidates, seed, grouped, monkeypatch):
    monkeypatch.setattr("curation.selection.greedy.LEAST_ROWS", 5)
    candidates = make_candidates(n=70, seed=seed, neighbors=9)
    # Rows that are alike tie.
    candidates.pool.vectors.image[10:20] = candidates.pool.vectors.image[5]
    kernel = kernel_of(candidates.similarities, 4.0, quality_of(candidates))
    objective = LogOfSum.up_to(kernel, 0.1)
    groups = candidates.strata if grouped else Groups.one(70)
    counts = groups.sizes // 2
    found = greedy(kernel, candidates.mass, groups.code, counts, objective=objective)
    table = objective.table
    order, gains = plain_greedy(dense(kernel), table, candidates.mass, groups.code, counts)
    assert found.gain.tolist() == gains
    assert found.order.tolist() == order


@pytest.mark.parametrize("power", [1.0, 4.0])
@pytest.mark.parametrize("background", [0.01, 0.5])
def test_its_gains_add_up_to_the_log_likelihood(candidates, power, background):
    found = picked(candidates, 40, power=power, background=background, quality_weight=0.5)
    joint = candidates.joint().astype(np.float64)
    near = dense(candidates.similarities) > 0
    kernel = np.where(near, np.clip(joint @ joint.T, 0.0, 1.0), 0.0) ** power
    kernel *= (1.0 - 0.5 * (1.0 - quality_of(candidates)))[:, None]
    likelihood = candidates.mass @ np.log1p(kernel[found.order].sum(axis=0) / background)
    assert found.gain.sum() == pytest.approx(likelihood, rel=2e-2 if background < 0.1 else 2e-3)


def test_the_steps_of_the_logarithm_never_grow_and_sum_to_it(candidates):
    objective = LogOfSum.up_to(kernel_of(candidates.similarities, 4.0, np.ones(200)), 0.1)
    step = np.diff(objective.table)
    assert (np.diff(step) <= 0).all()
    assert (step > 0).all()
    sums = np.arange(len(objective.table)) / KERNEL_UNIT
    assert objective.table / LOG_UNIT == pytest.approx(np.log1p(sums / 0.1), abs=1e-4)


def test_a_sum_beyond_the_table_adds_nothing_and_does_not_overflow():
    objective = LogOfSum(np.array([0, 5, 8]))
    served, value = np.array([2, 1], np.int32), np.array([2**31 - 3, 1], np.int32)
    assert objective.serve(served, value).tolist() == [2, 2]
    assert objective.worth(served, value).tolist() == [0, 3]


def test_a_large_cluster_gets_as_many_as_its_density_is_worth_before_what_lies_apart():
    """Thirty copies and five samples apart: copy d + 1 is worth 30 log((ε + d + 1) / (ε + d))."""
    matrix = np.eye(35, dtype=np.int32) * KERNEL_UNIT
    matrix[:30, :30] = KERNEL_UNIT
    kernel = Similarities(csr_array(matrix))
    one, mass = np.zeros(35, np.int64), np.ones(35, np.int64)
    objective = LogOfSum.up_to(kernel, 0.1)
    order = greedy(kernel, mass, one, np.array([35]), objective=objective).order.tolist()
    alone = np.log(1 + 1 / 0.1)
    copies = next(d for d in range(30) if 30 * np.log((0.1 + d + 1) / (0.1 + d)) < alone)
    assert order[:copies] == list(range(copies))
    assert order[copies : copies + 5] == list(range(30, 35))
    # Facility location has no use for a second copy before everything is covered.
    assert greedy(kernel, mass, one, np.array([6])).order.tolist() == [0, *range(30, 35)]

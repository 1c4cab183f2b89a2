"""Quotas move by shrunk errors: small cells borrow, bounds hold, the prior holds back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.improve.moving_quotas import bounded_counts, excess, move_quotas, shrink_errors


def answers(errors, sizes, seed: int = 0):
    rng = np.random.default_rng(seed)
    cell = np.repeat(np.arange(len(sizes)), sizes)
    return (rng.random(len(cell)) < np.repeat(errors, sizes)).astype(float), cell


def test_small_cells_borrow_and_large_ones_keep_their_error() -> None:
    sizes = np.array([600, 600, 600, 4])
    wrong, cell = answers([0.1, 0.3, 0.5, 1.0], sizes)
    raw, shrunk, asked = shrink_errors(wrong, cell, 5)
    assert asked.tolist() == [600, 600, 600, 4, 0]
    np.testing.assert_allclose(shrunk[:3], raw[:3], atol=0.01)
    assert abs(shrunk[3] - raw[3]) > 0.15
    # A cell that nobody asked about has the mean of all cells.
    assert raw[:4].min() < shrunk[4] < raw[:4].max()
    assert np.isnan(raw[4])


def test_shrunk_errors_are_nearer_to_the_truth_than_raw_ones() -> None:
    rng = np.random.default_rng(3)
    losses = np.zeros(2)
    for seed in range(200):
        truth = np.clip(0.3 + 0.1 * rng.standard_normal(12), 0.02, 0.98)
        wrong, cell = answers(truth, rng.integers(5, 60, 12), seed)
        raw, shrunk, _ = shrink_errors(wrong, cell, 12)
        losses += [((raw - truth) ** 2).sum(), ((shrunk - truth) ** 2).sum()]
    assert losses[1] < 0.8 * losses[0]


def test_the_posterior_mean_is_that_of_its_formula() -> None:
    wrong, cell = answers([0.1, 0.2, 0.6], np.array([40, 50, 60]), 5)
    raw, shrunk, n = shrink_errors(wrong, cell, 3)
    p = (raw * n + 0.5) / (n + 1)
    variance = p * (1 - p) / n
    w = 1 / variance
    q = (w * (raw - (w @ raw) / w.sum()) ** 2).sum()
    tau = max(0.0, (q - 2) / (w.sum() - (w**2).sum() / w.sum()))
    mean = (raw / (tau + variance)).sum() / (1 / (tau + variance)).sum()
    np.testing.assert_allclose(shrunk, (raw / variance + mean / tau) / (1 / variance + 1 / tau))


def test_cells_that_differ_by_chance_alone_do_not_move() -> None:
    wrong = np.tile([0.0, 1.0], 50)
    _, shrunk, _ = shrink_errors(wrong, np.repeat(np.arange(5), 20), 5)
    assert (excess(shrunk, np.ones(5), 1.5) == 0.0).all()


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9))
def test_excess_is_bounded_and_ordered(errors: list[float]) -> None:
    z = excess(np.array(errors), np.ones(len(errors)), 1.5)
    assert (np.abs(z) <= 1.5).all()
    order = np.argsort(errors)
    assert (np.diff(z[order]) >= 0.0).all()


def test_a_move_is_the_formula_and_mixes_eighty_to_twenty() -> None:
    prior, z = np.array([0.5, 0.3, 0.2]), np.array([1.5, 0.0, -1.5])
    moved = prior * np.exp(0.5 * z)
    found = move_quotas(prior, prior, z, 0.5, 0.2)
    np.testing.assert_allclose(found, 0.8 * moved / moved.sum() + 0.2 * prior)
    assert found.sum() == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(1e-6, 1.0)), min_size=1, max_size=30),
    st.floats(0.05, 0.6),
)
def test_counts_stay_within_floor_cap_and_what_a_cell_has(cells, share: float) -> None:
    have = np.array([size for size, _ in cells])
    quota = np.array([weight for _, weight in cells])
    proportional = np.maximum(1, (have * share).astype(np.int64))
    counts = bounded_counts(quota / quota.sum(), have, proportional, 0.01, 4.0)
    budget = proportional.sum()
    assert counts.sum() == budget
    assert (counts <= np.minimum(have, np.ceil(4 * proportional))).all()
    floors = np.minimum(np.ceil(0.01 * budget), np.minimum(4 * proportional, have))
    assert (counts >= floors).all()


def test_a_cell_without_importance_does_not_move() -> None:
    z = excess(np.array([0.9, 0.1, 0.5]), np.array([0.0, 0.5, 0.5]), 1.5)
    assert z[0] == 0.0
    assert z[1] < 0.0 < z[2]

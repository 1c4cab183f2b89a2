"""Division of a budget by learning curves: as brute force divides it, and honest about its gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from curation.improve.curve_quotas import (
    CellErrors,
    curve_quotas,
    optimal_counts,
    predicted_error,
)
from curation.improve.learning_curves import CellCurve, falling_line

SIZES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])


def power(epsilon: float, beta: float, alpha: float) -> CellCurve:
    return CellCurve("power", epsilon, beta, alpha, np.array([1.0]), np.array([epsilon + beta]))


cells = st.lists(
    st.tuples(
        st.floats(0.0, 0.3),
        st.floats(0.05, 2.0),
        st.floats(0.05, 1.0),
        st.floats(0.1, 3.0),
        st.integers(20, 400),
    ),
    min_size=2,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(cells)
def test_counts_are_those_of_a_numeric_minimisation(parts) -> None:
    curves = [power(*part[:3]) for part in parts]
    importance = np.array([part[3] for part in parts])
    have = np.array([part[4] for part in parts])
    proportional = have // 3
    lower, budget = np.minimum(2, have), int((have // 3).sum())
    counts = optimal_counts(curves, importance, lower, have, proportional)
    assert counts.sum() == budget
    assert (lower <= counts).all()
    assert (counts <= have).all()

    def total(n) -> float:
        return sum(v * c.error(x) for v, c, x in zip(importance, curves, n, strict=True))

    wanted = minimize(
        total,
        proportional.astype(float),
        method="SLSQP",
        bounds=list(zip(lower, have, strict=True)),
        constraints={"type": "eq", "fun": lambda n: n.sum() - budget},
        options={"maxiter": 500, "ftol": 1e-14},
    )
    # Rounding to whole samples alone may cost something.
    slack = sum(
        v * (c.error(max(1, n - 1)) - c.error(n))
        for v, c, n in zip(importance, curves, counts, strict=True)
    )
    assert predicted_error(curves, importance, counts) <= wanted.fun + slack + 1e-9


def test_equal_exponents_follow_the_formula() -> None:
    betas, v, alpha = np.array([0.5, 1.0, 2.0]), np.array([1.0, 2.0, 0.5]), 0.5
    curves = [power(0.1, beta, alpha) for beta in betas]
    have = np.full(3, 100_000)
    counts = optimal_counts(curves, v, np.zeros(3, np.int64), have, np.full(3, 10_000))
    shares = (v * alpha * betas) ** (1.0 / (1.0 + alpha))
    np.testing.assert_allclose(counts / counts.sum(), shares / shares.sum(), atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_isotonic_lines_are_divided_as_a_linear_program_divides_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    have = rng.integers(40, 120, 3)
    curves, pieces = [], []
    for size in have:
        sizes = np.concatenate([[1.0], np.sort(rng.choice(np.arange(2, size), 3, False)), [size]])
        line = falling_line(sizes, np.sort(rng.random(5))[::-1])
        curves.append(CellCurve("isotonic", None, None, None, *line))
        pieces.append(
            list(zip(np.diff(line[0]), -np.diff(line[1]) / np.diff(line[0]), strict=True))
        )
    importance, lower = np.ones(3), np.ones(3, np.int64)
    budget = int(have.sum() // 2)
    proportional = np.array([budget // 3, budget // 3, budget - 2 * (budget // 3)])
    proportional = np.minimum(proportional, have)
    counts = optimal_counts(curves, importance, lower, have, proportional)
    flat = [piece for own in pieces for piece in own]
    wanted = linprog(
        [-slope for _, slope in flat],
        A_eq=[[1.0] * len(flat)],
        b_eq=[proportional.sum() - 3],
        bounds=[(0, width) for width, _ in flat],
    )
    start = sum(curve.error(1.0) for curve in curves)
    steepest = max(slope for _, slope in flat)
    assert predicted_error(curves, importance, counts) <= start + wanted.fun + 3 * steepest
    assert counts.sum() == proportional.sum()


def planted(laws, *, groups: int, seed: int, per_group: int = 3) -> tuple[CellErrors, np.ndarray]:
    """Answers of groups of samples whose error follows the law of their cell; cells are equal."""
    rng = np.random.default_rng(seed)
    have = np.full(len(laws), 500)
    sizes = np.outer(have, SIZES)
    cluster = np.repeat(np.arange(groups), per_group)
    cell = rng.integers(0, len(laws), len(cluster))
    hard = rng.random(len(cluster))
    rate = np.array([e + b * sizes[c] ** -a for c, (e, b, a) in enumerate(laws)])
    # A sample that a small set answers, a larger one answers too.
    return CellErrors(sizes, (hard[None] < rate[cell].T).astype(float), cell, cluster), have


def test_a_planted_gain_is_predicted_and_no_gain_is_not() -> None:
    unlike = [(0.0, 0.3, 0.05), (0.0, 3.0, 0.8), (0.0, 3.0, 0.8), (0.3, 0.0, 0.5)]
    errors, have = planted(unlike, groups=800, seed=1)
    proportional = have // 10
    made = curve_quotas(errors, np.full(4, 0.25), have, proportional, 5, 0, resamples=200)
    assert made.worthwhile
    assert made.counts[3] < proportional[3] < made.counts[1]
    assert made.counts.sum() == proportional.sum()
    curves = [power(*law) for law in unlike]
    truth = predicted_error(curves, np.full(4, 0.25), proportional) - predicted_error(
        curves, np.full(4, 0.25), made.counts
    )
    assert made.low - 0.01 <= truth <= made.high + 0.01
    assert (made.advised == made.counts).all()


def test_cells_alike_keep_proportional_quotas() -> None:
    alike = [(0.1, 1.0, 0.4)] * 4
    kept = 0
    for seed in range(20):
        errors, have = planted(alike, groups=150, seed=seed)
        made = curve_quotas(errors, np.full(4, 0.25), have, have // 10, 5, seed, resamples=100)
        kept += not made.worthwhile
        if not made.worthwhile:
            assert (made.advised == made.proportional).all()
    assert kept >= 19


def test_a_cell_that_was_not_asked_about_keeps_its_count() -> None:
    errors, have = planted([(0.0, 1.0, 0.5), (0.1, 1.0, 0.2)], groups=60, seed=0)
    sizes = np.concatenate([errors.sizes, errors.sizes[:1]])
    errors = CellErrors(sizes, errors.wrong, errors.cell, errors.cluster)
    made = curve_quotas(
        errors, np.array([0.5, 0.5, 0.0]), np.full(3, 500), np.full(3, 50), 5, 0, resamples=20
    )
    assert made.curves[2] is None
    assert made.counts[2] == 50
    assert made.counts.sum() == 150
    assert have[0] == 500


def test_flat_isotonic_lines_whose_points_are_fractions_still_sum_to_the_budget() -> None:
    curve = CellCurve("isotonic", None, None, None, np.array([0.5, 1.4]), np.array([0.5, 0.4]))
    have, usual = np.full(3, 20), np.array([2, 2, 1])
    counts = optimal_counts([curve] * 3, np.ones(3) / 3, np.zeros(3, np.int64), have, usual)
    assert counts.sum() == usual.sum()


def test_equal_sizes_of_a_tiny_cell_are_one_point() -> None:
    sizes, levels = falling_line(np.array([0.5, 0.5, 2.0]), np.array([0.6, 0.4, 0.3]))
    assert sizes.tolist() == [0.5, 2.0]
    assert levels.tolist() == [0.5, 0.3]

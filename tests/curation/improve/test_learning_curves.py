"""Learning curves of cells: planted ones are recovered, others fall back to a falling line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from curation.improve.learning_curves import falling_line, fit_curves, fit_power_laws

SIZES = np.array([5.0, 10, 25, 50, 100, 150, 250, 500])
NO_NOISE = np.zeros(1)


@given(
    epsilon=st.floats(0.0, 0.5),
    beta=st.floats(0.1, 2.0),
    alpha=st.floats(0.05, 1.0),
)
def test_planted_curves_are_recovered(epsilon: float, beta: float, alpha: float) -> None:
    law = fit_power_laws(SIZES, (epsilon + beta * SIZES**-alpha)[None])
    assert law.squares[0] < 1e-9
    np.testing.assert_allclose(law.alpha[0], alpha, atol=2e-3)
    # ε and β of a nearly flat curve compensate each other; what it predicts does not.
    np.testing.assert_allclose(law.errors(1000.0)[0], epsilon + beta * 1000.0**-alpha, atol=1e-4)
    if alpha > 0.2:
        np.testing.assert_allclose([law.epsilon[0], law.beta[0]], [epsilon, beta], atol=2e-2)


@pytest.mark.parametrize("seed", range(6))
def test_noisy_curves_are_fitted_as_scipy_fits_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = 0.2 + 0.9 * SIZES**-0.5 + 0.01 * rng.standard_normal(len(SIZES))
    law = fit_power_laws(SIZES, errors[None])

    def formula(n, epsilon, beta, alpha):
        return epsilon + beta * n**-alpha

    bounds = ([0.0, 0.0, 0.05], [np.inf, np.inf, 1.0])
    wanted, _ = curve_fit(formula, SIZES, errors, p0=[0.1, 1.0, 0.5], bounds=bounds, xtol=1e-14)
    best = ((formula(SIZES, *wanted) - errors) ** 2).sum()
    assert law.squares[0] <= best * (1 + 1e-6)


def test_errors_that_grow_have_a_flat_curve_and_a_jump_has_an_isotonic_line() -> None:
    [flat] = fit_curves(SIZES, np.linspace(0.3, 0.5, len(SIZES))[None], np.ones(1))
    assert flat.beta == pytest.approx(0.0, abs=1e-12)
    assert flat.size_at(1e-6) == pytest.approx(0.0, abs=1e-3)
    jump = np.where(SIZES < 200, 0.6, 0.1)
    [line] = fit_curves(SIZES, jump[None], NO_NOISE)
    assert line.form == "isotonic"
    assert line.error(500.0) == pytest.approx(0.1)
    [two] = fit_curves(SIZES[:2], np.array([[0.5, 0.4]]), np.ones(1))
    assert (two.form, two.error(0.0)) == ("isotonic", pytest.approx(0.6))


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8))
def test_the_falling_line_falls_ever_slower(errors: list[float]) -> None:
    sizes = SIZES[: len(errors)]
    kept, levels = falling_line(sizes, np.array(errors))
    slopes = np.diff(levels) / np.diff(kept)
    assert (slopes <= 1e-12).all()
    assert (np.diff(slopes) >= -1e-12).all()
    assert kept[0] == sizes[0]
    assert kept[-1] == sizes[-1]

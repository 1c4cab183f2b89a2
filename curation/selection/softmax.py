"""Fit a linear softmax classifier with class-balanced weights to its optimum."""

from __future__ import annotations

from typing import Final

import numpy as np

from medsift.arrays import Doubles, Indices

BETA: Final = 0.999
"""β of the class-balanced weights: clusters far smaller than 1 / (1 − β) weigh 1 / size."""
RIDGE: Final = 1e-4
"""Weight of half the squared coefficients in the loss."""
ITERATIONS: Final = 100
"""Steps of L-BFGS at most."""


def class_balanced_weights(size: Indices) -> Doubles:
    """Return the weight (k,) of a sample of each class: (1 − β) / (1 − β^size).

    The inverse of the effective number of samples (Cui et al. 2019, "Class-balanced loss based on
    effective number of samples", arXiv 1901.05555, equation 2).
    """
    return np.asarray((1.0 - BETA) / (1.0 - BETA ** size.astype(np.float64)), np.float64)


def fit_softmax(features: Doubles, label: Indices) -> tuple[Doubles, Doubles]:
    """Return coefficients (d, k) and intercepts (k,) of least class-balanced cross-entropy.

    Σ_i w_{y_i} (−log p_i(y_i)) / Σ_i w_{y_i} + RIDGE / 2 · |coefficients|², from zero by L-BFGS:
    convex, so that no seed decides. Two samples that are one cluster each are the least.

    Args:
        features: Unit vectors (n, d).
        label: Class (n,), numbered from 0 without gaps.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    n, d = features.shape
    size = np.bincount(label)
    weight = class_balanced_weights(size)[label]
    weight /= weight.sum()
    rows = np.arange(n)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        coefficients, intercepts = flat[: d * len(size)].reshape(d, -1), flat[d * len(size) :]
        found = softmax(features @ coefficients + intercepts)
        # A probability that rounds to 0 has a loss of about 700, and not an infinite one.
        likely = np.log(np.maximum(found[rows, label], np.finfo(np.float64).tiny))
        value = -float(weight @ likely) + 0.5 * RIDGE * float((coefficients**2).sum())
        found[rows, label] -= 1.0
        found *= weight[:, None]
        slope = features.T @ found + RIDGE * coefficients
        return value, np.concatenate([slope.ravel(), found.sum(axis=0)])

    start = np.zeros((d + 1) * len(size))
    flat = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return flat[: d * len(size)].reshape(d, -1), flat[d * len(size) :]


def softmax(logits: Doubles) -> Doubles:
    """Return the probabilities (n, k) of logits (n, k)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)

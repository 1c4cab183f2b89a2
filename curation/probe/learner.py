"""Train the probe in closed form: regularised least squares on one-hot answers.

Each training is one linear system (Rifkin, Yeo and Poggio 2003, "Regularized least-squares
classification"), so hundreds of subsets can be compared in minutes, with no seed, learning rate
or number of steps that could favour one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from curation.probe.answers import Answers
from curation.probe.space import ProbeSpace
from medsift.arrays import Doubles, Indices

RIDGES: Final = (0.01, 0.1, 1.0)
"""Regularisations tried; each is added to the kernel's diagonal, which is 1.3 everywhere."""
FOLDS: Final = 3

Scorer = Callable[[Indices], Doubles]
"""Scores (r, c) of the classes for some samples."""


def train(space: ProbeSpace, answers: Answers, rows: Indices, ridge: float) -> Scorer:
    """Fit the probe on some samples; return what scores others.

    Args:
        space: The vectors of all samples (n).
        answers: The classes of all samples (n).
        rows: Numbers (r,) of the samples to fit on.
        ridge: Regularisation, added to the diagonal of the linear system.
    """
    return _System(space, answers, rows).solve(ridge)


class _System:
    """The linear system of one training set, whose regularisation is still open.

    The mean of the one-hot answers is fitted apart from the kernel, so that a probe that has
    learned nothing gives the commonest answer. Solved over the r samples, (K + ridge I) a = y, or,
    where the kernel is approximate and its m features are fewer, over those:
    (X'X + ridge I) w = X'y. Both have the same solution.
    """

    def __init__(self, space: ProbeSpace, answers: Answers, rows: Indices) -> None:
        targets = np.eye(len(answers.classes))[answers.label[rows]]
        self._mean = targets.mean(axis=0)
        self._space, self._rows = space, rows
        self._by_samples = space.exact or len(rows) <= space.features.shape[1]
        if self._by_samples:
            self._left = space.kernel(rows, rows)
            self._right = targets - self._mean
        else:
            features = space.features[rows]
            self._left = (features.T @ features).astype(np.float64)
            centred = (targets - self._mean).astype(np.float32)
            self._right = (features.T @ centred).astype(np.float64)

    def solve(self, ridge: float) -> Scorer:
        from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]

        left = self._left.copy()
        left[np.diag_indices_from(left)] += ridge
        factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
        weights = np.asarray(cho_solve(factor, self._right, check_finite=False), np.float64)
        space, rows, mean = self._space, self._rows, self._mean
        if self._by_samples:
            return lambda asked: space.kernel(asked, rows) @ weights + mean
        return lambda asked: space.features[asked] @ weights + mean


def choose_ridge(
    space: ProbeSpace,
    answers: Answers,
    rows: Indices,
    group: Indices,
    ridges: Sequence[float] = RIDGES,
) -> float:
    """Return the regularisation with the best accuracy inside a training set.

    Groups (n,) are dealt to three folds, each judged by a probe trained on the others, so that
    nothing outside `rows` decides and no picture judges itself. Of equally good ones the larger
    is taken: it is the smoother. With a single group there is nothing to judge by, and the middle
    one is taken.

    Args:
        space: the samples' vectors.
        answers: the samples' classes.
        rows: the training set.
        group: the group of pictures or patients of every sample of the space.
        ridges: what to choose from.
    """
    names, member = np.unique(group[rows], return_inverse=True)
    if len(names) < 2:
        return ridges[len(ridges) // 2]
    fold = np.random.default_rng(0).permutation(len(names))[member] % FOLDS
    right = np.zeros(len(ridges))
    for out in range(min(FOLDS, len(names))):
        asked = rows[fold == out]
        system = _System(space, answers, rows[fold != out])
        right += [answers.correct(asked, system.solve(ridge)(asked)).sum() for ridge in ridges]
    return max(zip(right.tolist(), ridges, strict=True))[1]

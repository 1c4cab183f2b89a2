"""Write trainings of the probe as linear systems, so that those of one subset share their parts.

The mean of the one-hot answers is fitted apart from the kernel, so that a probe that has learned
nothing gives the commonest answer. Solved over the r samples, (K + ridge I) a = y, or, where the
kernel is approximate and its m features are fewer, over those: (X'X + ridge I) w = X'y. Both have
the same solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from curation.probe.algebra import Array
from curation.probe.answers import Answers
from curation.probe.space import ProbeSpace
from medsift.arrays import Doubles, Indices

_ROWS_AT_A_TIME: Final = 8192
"""Rows whose products are summed in single precision; sums of those are double."""


@dataclass(frozen=True, slots=True)
class System:
    """The linear system of one training: `left` (s, s), `right` (s, c), `mean` (c,) of answers.

    `rows` are the samples that it is solved over, None where it is solved over features.
    """

    space: ProbeSpace
    left: Array
    right: Array
    mean: Array
    rows: Indices | None

    def scores(self, asked: Indices, ridges: Sequence[float]) -> Iterator[Doubles]:
        """Yield the scores (a, c) of the classes for some samples at each regularisation."""
        algebra = self.space.algebra
        if self.rows is None:
            basis = algebra.double(self.space.features[asked])
        else:
            basis = self.space.kernel(asked, self.rows)
        for ridge in ridges:
            weights = algebra.solve(self.left, self.right, ridge)
            yield algebra.get(basis @ weights + self.mean)


class Systems(Protocol):
    """The systems of one training set whose samples are dealt to folds (r,)."""

    def without(self, fold: int | None) -> System:
        """Return the system of the samples outside a fold, or of all."""
        ...


def systems_of(space: ProbeSpace, answers: Answers, rows: Indices, fold: Indices) -> Systems:
    """Return the systems of a training set, in the form that costs less.

    Args:
        space: The vectors of all samples (n).
        answers: The classes of all samples (n).
        rows: Numbers (r,) of the samples to fit on.
        fold: The fold (r,) of each of them, numbered from 0.
    """
    by_samples = space.exact or len(rows) <= space.features.shape[1]
    form = _SampleSystems if by_samples else _FeatureSystems
    return form(space, np.eye(len(answers.classes))[answers.label[rows]], rows, fold)


class _SampleSystems:
    """Systems over samples; the kernel is cut once, and a fold's system is a part of it."""

    def __init__(self, space: ProbeSpace, targets: Doubles, rows: Indices, fold: Indices) -> None:
        self._space, self._targets, self._rows, self._fold = space, targets, rows, fold
        self._kernel = space.kernel(rows, rows)

    def without(self, fold: int | None) -> System:
        """Return the system of the samples outside a fold, or of all."""
        everyone = np.arange(len(self._rows))
        kept = everyone if fold is None else everyone[self._fold != fold]
        algebra, kernel = self._space.algebra, self._kernel
        left = kernel if fold is None else algebra.cut(kernel, kept, kept)
        mean = self._targets[kept].mean(axis=0)
        right = algebra.put(self._targets[kept] - mean)
        return System(self._space, left, right, algebra.put(mean), self._rows[kept])


class _FeatureSystems:
    """Systems over features; the products of each fold are computed once and summed."""

    def __init__(self, space: ProbeSpace, targets: Doubles, rows: Indices, fold: Indices) -> None:
        self._space = space
        self._folds = [
            _Products.of(space, targets[fold == number], rows[fold == number])
            for number in range(int(fold.max()) + 1)
        ]

    def without(self, fold: int | None) -> System:
        """Return the system of the samples outside a fold, or of all."""
        parts = [part for number, part in enumerate(self._folds) if number != fold]
        algebra = self._space.algebra
        samples = sum(part.samples for part in parts)
        mean = algebra.put(np.sum([part.answers for part in parts], axis=0) / samples)
        gram, along, total = (
            sum(getattr(part, name) for part in parts) for name in ("gram", "along", "total")
        )
        # X'(y - mean) = X'y - X'1 mean: the mean is known after the sum alone.
        return System(self._space, gram, along - total[:, None] * mean, mean, None)


@dataclass(frozen=True, slots=True)
class _Products:
    """Sums over samples: X'X (m, m), X'y (m, c), X'1 (m,), y'1 (c,) and how many there are."""

    gram: Array
    along: Array
    total: Array
    answers: Doubles
    samples: int

    @classmethod
    def of(cls, space: ProbeSpace, targets: Doubles, rows: Indices) -> _Products:
        algebra, width = space.algebra, space.features.shape[1]
        gram, along, total = (
            algebra.put(np.zeros(shape))
            for shape in ((width, width), (width, targets.shape[1]), width)
        )
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            features = space.features[rows[part]]
            answers = algebra.single(algebra.put(targets[part]))
            gram += algebra.gram(features)
            along += features.T @ answers
            total += features.sum(0)
        return cls(gram, along, total, targets.sum(axis=0), len(rows))

"""Write trainings of the probe as linear systems, so that those of one subset share their parts.

Every answer of a training set has the same weight in all, however often it is given. Unweighted,
a sample far from all training samples gets the commonest answer, since the kernel adds little
there: a larger set with one answer in excess then teaches less than a small even one, which no
fine-tuning shows (docs/probe.md). The mean of the weighted one-hot answers is fitted apart from the
kernel.

With the weights on the diagonal of W, solved over the r samples, (K + ridge W^-1) a = y, or, where
the kernel is approximate and its m features are fewer, over those: (X' W X + ridge I) w = X' W y.
Both have the same solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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

    `penalty` (s,) is what the regularisation is multiplied by on the diagonal of `left`. `rows` are
    the samples that it is solved over, None where it is solved over features.
    """

    space: ProbeSpace
    left: Array
    right: Array
    mean: Array
    penalty: Array
    rows: Indices | None

    def scores(self, asked: Indices, ridges: Sequence[float]) -> Iterator[Doubles]:
        """Yield the scores (a, c) of the classes for some samples at each regularisation."""
        algebra = self.space.algebra
        if self.rows is None:
            basis = algebra.double(self.space.features[asked])
        else:
            basis = self.space.kernel(asked, self.rows)
        diagonals = (ridge * self.penalty for ridge in ridges)
        for weights in algebra.solve(self.left, self.right, diagonals):
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
    return form(space, answers, rows, fold)


def equal_weights(label: Indices) -> Doubles:
    """Return weights (r,) of mean 1 that have the same sum for every label (r,) that occurs."""
    count = np.bincount(label)
    return len(label) / np.count_nonzero(count) / count[label]


class _FoldedSystems:
    """What both forms do: choose the samples outside a fold, with their answers and weights."""

    def __init__(self, space: ProbeSpace, answers: Answers, rows: Indices, fold: Indices) -> None:
        self._space, self._answers = space, answers
        self._rows, self._fold = rows, fold

    def _kept(self, fold: int | None) -> tuple[Indices, Doubles, Doubles, Doubles]:
        """Return places in the training set, centred answers (k, c), their mean, weights (k,)."""
        places = np.arange(len(self._rows))
        kept = places if fold is None else places[self._fold != fold]
        label = self._answers.label[self._rows[kept]]
        targets, weight = np.eye(len(self._answers.classes))[label], equal_weights(label)
        mean = weight @ targets / weight.sum()
        return kept, targets - mean, mean, weight


class _SampleSystems(_FoldedSystems):
    """Systems over samples; the kernel is cut once, and a fold's system is a part of it."""

    @cached_property
    def _kernel(self) -> Array:
        return self._space.kernel(self._rows, self._rows)

    def without(self, fold: int | None) -> System:
        """Return the system of the samples outside a fold, or of all."""
        kept, centred, mean, weight = self._kept(fold)
        algebra, kernel = self._space.algebra, self._kernel
        return System(
            space=self._space,
            left=kernel if fold is None else algebra.cut(kernel, kept, kept),
            right=algebra.put(centred),
            mean=algebra.put(mean),
            penalty=algebra.put(1 / weight),
            rows=self._rows[kept],
        )


class _FeatureSystems(_FoldedSystems):
    """Systems over features; their products are summed block by block."""

    def without(self, fold: int | None) -> System:
        """Return the system of the samples outside a fold, or of all."""
        kept, centred, mean, weight = self._kept(fold)
        algebra, width = self._space.algebra, self._space.features.shape[1]
        left, right = (algebra.put(np.zeros((width, size))) for size in (width, len(mean)))
        for start in range(0, len(kept), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            root = algebra.single(algebra.put(np.sqrt(weight[part])))[:, None]
            features = self._space.features[self._rows[kept[part]]] * root
            left += features.T @ features
            right += features.T @ (algebra.single(algebra.put(centred[part])) * root)
        penalty = algebra.put(np.ones(width))
        return System(self._space, left, right, algebra.put(mean), penalty, None)

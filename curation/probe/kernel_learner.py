"""Train the probe in closed form: regularised least squares on one-hot answers.

Each training is one linear system (Rifkin, Yeo and Poggio 2003, "Regularized least-squares
classification"), so hundreds of subsets can be compared in minutes, with no seed, learning rate
or number of steps that could favour one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from curation.probe.answers import Answers
from curation.probe.least_squares import Systems, systems_of
from curation.probe.space import ProbeSpace
from medsift.arrays import Doubles, Indices
from medsift.config import Config

RIDGES: Final = (0.01, 0.1, 1.0)
"""Regularisations tried; each is added to the kernel's diagonal, which is 1.3 everywhere."""
FOLDS: Final = 3


class KernelConfig(Config):
    """Settings of the learner `kernel`: least squares in closed form, which has none.

    All answers of a training set weigh the same, however often each is given.
    """

    kind: Literal["kernel"] = "kernel"

    def prepare(self, space: ProbeSpace) -> None:
        """Compute what all trainings share, once, so that tasks do not repeat it."""
        space.prepare_kernel()

    def answer(
        self,
        space: ProbeSpace,
        answers: Answers,
        group: Indices,
        subsets: Sequence[Indices],
        asked: Indices,
    ) -> Doubles:
        """Return whether each asked sample is answered rightly after each training (t, a).

        The regularisation is chosen inside the first subset and serves all: they have one size and
        one way of selecting, which is what the best value depends on.

        Args:
            space: The vectors of all samples (n).
            answers: The classes of all samples (n).
            group: Equal for samples (n,) that must not judge each other.
            subsets: Samples of each training (t).
            asked: The samples (a,) to answer for.
        """
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        first, right = subsets[0], []
        fold = deal(group[first])
        # On systems of a few thousand rows the threads of BLAS wait for each other longer than they
        # work; with one, results are also equal to the last bit whatever the number of cores.
        with threadpool_limits(1, user_api="blas"):
            systems = systems_of(space, answers, first, fold)
            ridge = choose_ridge(systems, answers, first, fold)
            for rows in subsets:
                if rows is not first:
                    systems = systems_of(space, answers, rows, np.zeros(len(rows), np.int64))
                [scores] = systems.without(None).scores(asked, [ridge])
                right.append(answers.correct(asked, scores))
        return np.stack(right)


def deal(group: Indices) -> Indices:
    """Return the fold (r,) of each sample: whole groups (r,), dealt to three folds, or to fewer."""
    names, member = np.unique(group, return_inverse=True)
    return np.random.default_rng(0).permutation(len(names))[member] % FOLDS


def choose_ridge(
    systems: Systems,
    answers: Answers,
    rows: Indices,
    fold: Indices,
    ridges: Sequence[float] = RIDGES,
) -> float:
    """Return the regularisation with the best accuracy inside a training set.

    Each fold is judged by a probe trained on the others, so that nothing outside `rows` decides
    and no picture judges itself. Of equally good ones the larger is taken: it is the smoother. With
    a single fold there is nothing to judge by, and the middle one is taken.

    Args:
        systems: the linear systems of the training set.
        answers: the classes of all samples.
        rows: the training set (r,).
        fold: the fold (r,) of each of its samples.
        ridges: what to choose from.
    """
    folds = int(fold.max()) + 1
    if folds < 2:
        return ridges[len(ridges) // 2]
    right = np.zeros(len(ridges))
    for out in range(folds):
        asked = rows[fold == out]
        scored = systems.without(out).scores(asked, ridges)
        right += [answers.correct(asked, scores).sum() for scores in scored]
    return max(zip(right.tolist(), ridges, strict=True))[1]

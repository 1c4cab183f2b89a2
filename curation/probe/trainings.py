"""Train the probe on subsets and ask it about the samples that its fold keeps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.probe.answers import Answers
from curation.probe.learner import choose_ridge, train
from curation.probe.space import ProbeSpace
from medsift.arrays import Doubles, Indices


@dataclass(frozen=True, slots=True)
class Trainings:
    """The trainings of one arm at one budget in one fold.

    `subsets` are the samples of each draw, `asked` (m,) those that the fold keeps out.
    """

    arm: str
    budget: float
    fold: int
    subsets: Sequence[Indices]
    asked: Indices


@dataclass(frozen=True)
class ProbeTrainer:
    """Carries out trainings; picklable, so that they can run as tasks anywhere."""

    space: ProbeSpace
    answers: Answers
    group: Indices

    def __call__(self, trainings: Trainings) -> Doubles:
        """Return for each draw whether each asked sample is answered rightly (draws, m).

        The regularisation is chosen inside the first subset and serves all draws of the cell:
        they have one size and one way of selecting, which is what the best value depends on.
        """
        first = trainings.subsets[0]
        ridge = choose_ridge(self.space, self.answers, first, self.group)
        return np.stack(
            [
                self.answers.correct(
                    trainings.asked,
                    train(self.space, self.answers, rows, ridge)(trainings.asked),
                )
                for rows in trainings.subsets
            ]
        )

"""Train the probe on subsets and ask it about the samples that its fold keeps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curation.probe.answers import Answers
from curation.probe.kernel_learner import KernelConfig
from curation.probe.learners import AnyLearner
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
    learner: AnyLearner = KernelConfig()  # noqa: RUF009 - frozen

    def __call__(self, trainings: Trainings) -> Doubles:
        """Return for each training whether each asked sample is answered rightly (t, m)."""
        return self.learner.answer(
            self.space, self.answers, self.group, trainings.subsets, trainings.asked
        )

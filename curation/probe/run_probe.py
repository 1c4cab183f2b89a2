"""Run a probe: cut folds, select, train, ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig
from curation.probe.algebra import algebra_on
from curation.probe.heap import Heap
from curation.probe.make_plan import make_plan
from curation.probe.plan import Plan
from curation.probe.results import Cell, ProbeAnswers
from curation.probe.settings import ProbeConfig
from curation.probe.space import probe_space
from curation.probe.subsets import ArmSelector
from curation.probe.trainings import ProbeTrainer, Trainings
from curation.selection.quality import Scores
from medsift.arrays import Doubles
from medsift.execution import Executor, LocalExecutor


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """What a probe did: its answers, and what it could ask about.

    `classes` are the answers it predicts; `left_out` counts the pool's samples without one, by
    reason. `usable` counts those that took part. `majority` is the share of right answers of
    always giving the commonest answer that the question offers: the accuracy of knowing nothing.
    `remarks` are what else the user should know.
    """

    answers: ProbeAnswers
    classes: list[str]
    left_out: dict[str, int]
    usable: int
    majority: float
    remarks: list[str]


@dataclass(frozen=True, slots=True)
class ProbeInputs:
    """What a probe takes from a run."""

    heap: Heap
    scores: Scores
    graph: GraphConfig
    neighbors: NeighborsConfig


def run_probe(
    inputs: ProbeInputs,
    config: ProbeConfig,
    seed: int,
    executor: Executor,
    advance: Callable[[int], None] = lambda done: None,
) -> ProbeRun:
    """Train on every subset of every arm and ask about what the fold keeps out.

    Args:
        inputs: the run's samples, vectors, scores and settings.
        config: the arms, budgets, draws and folds.
        seed: seed of folds and draws.
        executor: where trainings run; results do not depend on it.
        advance: called with the number of cells finished so far.

    Raises:
        UsageError: as `make_plan`, or an arm that cannot select from a part of the pool.
    """
    plan = make_plan(inputs.heap, config, seed)
    part, answers = plan.part, plan.answers
    algebra = algebra_on(inputs.neighbors.device)
    space = probe_space(part.samples.vectors, seed, algebra)
    config.learner.prepare(space)
    trainer = ProbeTrainer(space, answers, part.group, config.learner)
    # A task has no GPU of its own, and a small pool is probed before the workers have started.
    alone = len(part) <= config.spread_above or algebra.device != "cpu"
    spread: Executor = LocalExecutor() if alone else executor
    by_fold = spread.run(FoldSelections(plan, inputs, seed), range(config.folds))
    trainings = [each for fold in by_fold for each in fold]
    results = []
    for done, correct in enumerate(spread.run(trainer, trainings), 1):
        results.append(correct)
        advance(done)
    asked = plan.all_asked
    # What knowing only how common answers are would get right, within the options of a question.
    counts = np.bincount(answers.label[asked], minlength=len(answers.classes)).astype(np.float64)
    commonest = answers.correct(asked, np.tile(counts, (len(asked), 1)))
    return ProbeRun(
        answers=ProbeAnswers(
            cells=list(_cells(trainings, results)),
            asked=part.samples.samples.take(pa.array(asked)),
            cluster=np.unique(part.group[asked], return_inverse=True)[1].astype(np.int64),
        ),
        classes=answers.classes,
        left_out=plan.left_out,
        usable=int(part.in_pool.sum()),
        majority=float(commonest.mean()),
        remarks=plan.remarks,
    )


@dataclass(frozen=True)
class FoldSelections:
    """Selects all that is trained on in a fold; picklable, so that folds can run as tasks."""

    plan: Plan
    inputs: ProbeInputs
    seed: int

    def __call__(self, number: int) -> list[Trainings]:
        """Return the trainings of one fold. Raises UsageError: an arm cannot select from it."""
        selector = ArmSelector(
            self.plan.part.samples,
            self.plan.trained_on(number),
            self.inputs.graph,
            self.inputs.neighbors,
            self.inputs.scores,
            LocalExecutor(),
        )
        return list(self.plan.trainings(number, selector, self.seed))


def _cells(trainings: list[Trainings], results: list[Doubles]) -> Iterator[Cell]:
    """Join the folds of each arm and budget, in the order in which they were asked."""
    keys = dict.fromkeys((each.arm, each.budget) for each in trainings)
    for arm, budget in keys:
        own = [
            (each, correct)
            for each, correct in zip(trainings, results, strict=True)
            if (each.arm, each.budget) == (arm, budget)
        ]
        draws = max(len(correct) for _, correct in own)
        # A fold in which an arm's draws came out equal has fewer trainings, counted round.
        parts = [correct[np.arange(draws) % len(correct)] for _, correct in own]
        size = np.mean([len(subset) for each, _ in own for subset in each.subsets])
        yield Cell(arm, budget, float(size), np.concatenate(parts, axis=1))

"""Run a probe: cut folds, select, train, ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import pyarrow as pa

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig
from curation.probe.answers import Answers, answer_classes
from curation.probe.heap import Heap
from curation.probe.results import Cell, ProbeAnswers
from curation.probe.settings import DEDUP_RANDOM, FULL, RANDOM, ProbeConfig
from curation.probe.space import probe_space
from curation.probe.subsets import ArmSelector, cut_folds, draw_random
from curation.probe.trainings import ProbeTrainer, Trainings
from curation.selection.quality import Scores
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.execution import Executor

EVERYTHING = 1.0
"""The budget of `full`."""
SMALLEST = 2
"""Samples of the smallest subset: with one there is nothing to tell apart."""


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """What a probe did: its answers, and what it could ask about.

    `classes` are the answers it predicts; `left_out` counts the pool's samples without one, by
    reason. `usable` counts those that took part. `majority` is the share of the commonest answer
    among the samples asked about: the accuracy of knowing nothing.
    """

    answers: ProbeAnswers
    classes: list[str]
    left_out: dict[str, int]
    usable: int
    majority: float


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
        UsageError: no answer is common enough to be asked about, or too few groups for the folds.
    """
    heap = inputs.heap
    answers = answer_classes(heap.samples.samples, heap.group, config.min_groups)
    _check_usable(answers.usable, heap.group, config)
    part = heap.take(answers.usable)
    left_out = Counter(
        reason for reason, kept in zip(answers.reason, heap.in_pool.tolist(), strict=True) if kept
    )
    answers = answers.take(answers.usable)
    trainer = ProbeTrainer(probe_space(part.samples.vectors, seed), answers, part.group)
    fold = cut_folds(part.samples, part.group, config.folds, seed)
    trainings = list(_trainings(part, answers, fold, inputs, config, seed, executor))
    results = []
    for done, correct in enumerate(executor.run(trainer, trainings), 1):
        results.append(correct)
        advance(done)
    asked = np.concatenate([_asked(part, answers, fold, number) for number in range(config.folds)])
    return ProbeRun(
        answers=ProbeAnswers(
            cells=list(_cells(trainings, results)),
            asked=part.samples.samples.take(pa.array(asked)),
            cluster=np.unique(part.group[asked], return_inverse=True)[1].astype(np.int64),
        ),
        classes=answers.classes,
        left_out={reason: count for reason, count in sorted(left_out.items()) if reason},
        usable=int(part.in_pool.sum()),
        majority=float(np.bincount(answers.label[asked]).max() / len(asked)),
    )


def _check_usable(usable: Indices, group: Indices, config: ProbeConfig) -> None:
    if not len(usable):
        raise UsageError(
            f"no answer is given by {config.min_groups} groups of pictures or patients, so the "
            "probe has nothing to ask about; lower min_groups, or judge this pool by fine-tuning "
            "(`medsift study`)",
            code="probe_nothing_to_ask",
            min_groups=config.min_groups,
        )
    groups = len(np.unique(group[usable]))
    if groups < config.folds:
        raise UsageError(
            f"the samples that can be asked about are of {groups} groups of pictures or patients, "
            f"fewer than the {config.folds} folds; lower folds",
            code="probe_folds_invalid",
            groups=groups,
            folds=config.folds,
        )


def _trained_on(part: Heap, fold: Indices, number: int) -> Indices:
    return np.flatnonzero((fold != number) & part.in_pool)


def _asked(part: Heap, answers: Answers, fold: Indices, number: int) -> Indices:
    """Return the pool's samples of a fold whose answer the others' samples give at all."""
    known = np.unique(answers.label[_trained_on(part, fold, number)])
    return np.flatnonzero((fold == number) & part.in_pool & np.isin(answers.label, known))


def _trainings(
    part: Heap,
    answers: Answers,
    fold: Indices,
    inputs: ProbeInputs,
    config: ProbeConfig,
    seed: int,
    executor: Executor,
) -> Iterator[Trainings]:
    """Yield the trainings of each fold, arm and budget."""
    draws = ceil(config.draws / config.folds)
    for number in range(config.folds):
        pool, asked = _trained_on(part, fold, number), _asked(part, answers, fold, number)
        everything = np.flatnonzero(fold != number)
        selector = ArmSelector(
            part.samples, pool, inputs.graph, inputs.neighbors, inputs.scores, executor
        )
        for budget in config.grid:
            size = max(SMALLEST, round(budget * len(pool)))
            for name, rows in ((RANDOM, everything), (DEDUP_RANDOM, pool)):
                subsets = [draw_random(rows, size, (seed, number, draw)) for draw in range(draws)]
                yield Trainings(name, budget, number, subsets, asked)
            for arm in config.arms if budget in config.budgets else ():
                subsets = selector.draws(arm, size, draws, seed)
                yield Trainings(arm.name, budget, number, subsets, asked)
        yield Trainings(FULL, EVERYTHING, number, [everything], asked)


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
        # A fold in which an arm's draws came out equal has one training, which stands in each.
        parts = [np.broadcast_to(c, (draws, c.shape[1])) if len(c) == 1 else c for _, c in own]
        size = np.mean([len(subset) for each, _ in own for subset in each.subsets])
        yield Cell(arm, budget, float(size), np.concatenate(parts, axis=1))

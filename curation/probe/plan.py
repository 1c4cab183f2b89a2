"""Plan a probe: which samples each fold trains on and asks about, at which budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Final

import numpy as np

from curation.probe.answers import Answers
from curation.probe.heap import Heap
from curation.probe.settings import DEDUP_RANDOM, FULL, RANDOM, ProbeConfig
from curation.probe.subsets import ArmSelector, draw_random
from curation.probe.trainings import Trainings
from medsift.arrays import Indices

EVERYTHING: Final = 1.0
"""The budget of `full`."""
SMALLEST: Final = 2
"""Samples of the smallest subset: with one there is nothing to tell apart."""


@dataclass(frozen=True)
class Plan:
    """The folds (n,) of the samples that can be asked about, and the budgets of each.

    `left_out` counts the pool's samples that nobody is asked about, by reason.
    """

    part: Heap
    answers: Answers
    fold: Indices
    config: ProbeConfig
    left_out: dict[str, int]

    def trained_on(self, number: int) -> Indices:
        """Return the pool's samples outside a fold, from which the arms select."""
        return np.flatnonzero((self.fold != number) & self.part.in_pool)

    def asked(self, number: int) -> Indices:
        """Return the pool's samples of a fold whose answer the others' samples give at all."""
        known = np.unique(self.answers.label[self.trained_on(number)])
        mine = (self.fold == number) & self.part.in_pool
        return np.flatnonzero(mine & np.isin(self.answers.label, known))

    @cached_property
    def all_asked(self) -> Indices:
        """The samples of all folds that are asked about, in the order in which they are."""
        return np.concatenate([self.asked(number) for number in range(self.config.folds)])

    def sizes(self, budget: float) -> list[int]:
        """Return the size of a budget in each fold."""
        parts = [len(self.trained_on(number)) for number in range(self.config.folds)]
        return [max(SMALLEST, round(budget * part)) for part in parts]

    @cached_property
    def budgets(self) -> list[float]:
        """The budgets at which trainings run, ascending.

        Of budgets that come to one size in some fold the largest stays, of those that were asked
        for before those that the random curve adds: two points at one size say nothing more.
        """
        kept: list[float] = []
        asked = sorted(self.config.budgets, reverse=True)
        added = sorted(set(self.config.grid) - set(asked), reverse=True)
        for budget in (*asked, *added):
            sizes = self.sizes(budget)
            if not any(
                one == other
                for earlier in kept
                for one, other in zip(sizes, self.sizes(earlier), strict=True)
            ):
                kept.append(budget)
        return sorted(kept)

    @property
    def remarks(self) -> list[str]:
        """What the user should know about the plan."""
        merged = [budget for budget in sorted(self.config.budgets) if budget not in self.budgets]
        if not merged:
            return []
        shares = ", ".join(f"{100 * budget:g} %" for budget in merged)
        least = min(len(self.trained_on(number)) for number in range(self.config.folds))
        return [
            f"the pool is small: of {least:,} samples to select from, the budgets {shares} come to "
            f"the size of another budget ({SMALLEST} samples at least), and are left out"
        ]

    def trainings(self, number: int, selector: ArmSelector, seed: int) -> Iterator[Trainings]:
        """Yield the trainings of one fold, by budget and arm.

        Args:
            number: The fold.
            selector: Selects from the samples that the fold trains on.
            seed: Of the draws.
        """
        pool, asked = self.trained_on(number), self.asked(number)
        everything = np.flatnonzero(self.fold != number)
        draws = ceil(self.config.draws / self.config.folds)
        size = {budget: self.sizes(budget)[number] for budget in self.budgets}
        own = [budget for budget in self.budgets if budget in self.config.budgets]
        selected = {
            arm.name: selector.draws(arm, [size[budget] for budget in own], draws, seed)
            for arm in self.config.arms
        }
        for budget in self.budgets:
            for name, rows in ((RANDOM, everything), (DEDUP_RANDOM, pool)):
                subsets = [
                    draw_random(rows, size[budget], (seed, number, draw)) for draw in range(draws)
                ]
                yield Trainings(name, budget, number, subsets, asked)
            for name, by_size in selected.items() if budget in own else ():
                yield Trainings(name, budget, number, by_size[size[budget]], asked)
        yield Trainings(FULL, EVERYTHING, number, [everything], asked)

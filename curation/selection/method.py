"""Define a method of selection: settings that name it, and an order of picks within quotas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np
import pyarrow.compute as pc

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, KnnGraph, Pool
from curation.pool.graph import joint_vectors
from curation.selection.neighbor_matrix import Similarities, similarities
from curation.selection.quantized_vectors import Lattice, lattice
from curation.selection.quotas import Groups, QuotasConfig
from medsift.arrays import Doubles, Floats, Indices
from medsift.config import Config
from medsift.execution import Executor, LocalExecutor
from medsift.records import digest

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Candidates:
    """The pool as methods see it, with what several selections share worked out once."""

    pool: Pool
    graph: KnnGraph
    config: GraphConfig
    neighbors: NeighborsConfig = NeighborsConfig()  # noqa: RUF009 - frozen

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.pool)

    @cached_property
    def sample_ids(self) -> list[str]:
        """Sample ids (n), sorted."""
        return self.pool.sample_ids

    @cached_property
    def similarities(self) -> Similarities:
        """The symmetric neighbour graph (n, n)."""
        return similarities(self.graph)

    @cached_property
    def strata(self) -> Groups:
        """The recipe's strata."""
        return Groups.of(self.pool.strata)

    @cached_property
    def mass(self) -> Indices:
        """Input rows (n,) that each sample represents."""
        return np.rint(self.pool.mass).astype(np.int64)

    @cached_property
    def answer_length(self) -> Indices:
        """Characters (n,) of each answer, 0 where there is none."""
        lengths = pc.fill_null(pc.utf8_length(self.pool.samples["answer"]), 0)
        found: Indices = lengths.to_numpy().astype(np.int64)
        return found

    @cached_property
    def lattice(self) -> Lattice:
        """The joint vectors (n, d), rounded so that their products are exact."""
        return lattice(self.joint())

    def joint(self) -> Floats:
        """The joint vectors (n, d) of the graph: unit, or zero for a sample without any part."""
        return joint_vectors(self.pool.vectors, self.config)


@dataclass(frozen=True)
class SelectionContext:
    """Everything a method may use for one selection.

    `groups` are what quotas are for: the strata, or one group of all. `quality` (n,) is in [0, 1].
    """

    candidates: Candidates
    groups: Groups
    quality: Doubles
    seed: int = 0
    executor: Executor = LocalExecutor()  # noqa: RUF009 - frozen

    def spread(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Apply a pure, picklable function: as tasks for a large pool, else in this process."""
        large = len(self.candidates) > self.candidates.neighbors.spread_above
        executor = self.executor if large else LocalExecutor()
        return list(executor.run(function, items))

    def shuffled(self) -> Indices:
        """Places (n,) in the order of a hash of seed and sample id: no order of rows changes it."""
        keys = [digest(str(self.seed), sample) for sample in self.candidates.sample_ids]
        return np.argsort(np.array(keys, dtype=object).astype(str), kind="stable")


@dataclass(frozen=True, slots=True)
class Picked:
    """Places (m,) of selected samples, best first, and what each added; NaN where none is known."""

    order: Indices
    gain: Doubles


Picker = Callable[[Indices], Picked]
"""Picks `counts` (g,) samples of each group."""


class MethodConfig(Config):
    """Settings of a method; subclasses add a `kind: Literal[...]` tag and `picker`."""

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig()
    """Quotas where the recipe names none."""
    additive: ClassVar[bool] = False
    """Whether gains add up to the value of an objective."""

    kind: str

    def picker(self, context: SelectionContext) -> Picker:
        """Work out what does not depend on the budget; the picker may be called several times.

        A pick depends on pool, graph, quality, seed and counts alone. It has exactly the samples
        that the counts ask for.
        """
        raise NotImplementedError


def first_of_groups(order: Indices, groups: Groups, counts: Indices) -> Indices:
    """The first `counts` (g,) of each group in an order (n,) of places, in that order."""
    code = groups.code[order]
    by_group = np.argsort(code, kind="stable")
    turn = np.empty(len(order), np.int64)
    turn[by_group] = np.arange(len(order)) - np.searchsorted(code[by_group], code[by_group])
    return order[turn < counts[code]]


def by_order(order: Indices, value: Doubles, groups: Groups) -> Picker:
    """A picker that takes the first of each group in one order (n,); gain is `value` (n,)."""

    def pick(counts: Indices) -> Picked:
        chosen = first_of_groups(order, groups, counts)
        return Picked(chosen, value[chosen])

    return pick


def interleaved(parts: Sequence[Picked]) -> Picked:
    """Picks of several groups as one order in which each group keeps its share throughout.

    The t-th of m picks of a group has the key (t + ½) / m; equal keys go by group.
    """
    keys = [(np.arange(len(part.order)) + 0.5) / max(1, len(part.order)) for part in parts]
    place = np.argsort(np.concatenate([np.zeros(0), *keys]), kind="stable")
    order = np.concatenate([np.empty(0, np.int64), *(part.order for part in parts)])
    gain = np.concatenate([np.zeros(0), *(part.gain for part in parts)])
    return Picked(order[place], gain[place])

"""Define a selection method: settings that name it, and an order of picks within quotas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final, Self, TypeVar

import numpy as np

from curation.neighbors import NeighborsConfig, kmeans
from curation.pool import GraphConfig, KnnGraph, Pool
from curation.pool.graph import joint_vectors
from curation.selection.neighbor_matrix import Similarities, make_symmetric
from curation.selection.quantized_vectors import QuantizedVectors, quantize
from curation.selection.quotas import Groups, QuotasConfig
from medsift.arrays import Doubles, Floats, Indices
from medsift.config import Config
from medsift.execution import Executor, LocalExecutor
from medsift.records import digest

KEY_BYTES: Final = 16
"""Bytes of a hash that order samples: no two of them are equal."""
Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Candidates:
    """The pool as methods see it, with what several selections share computed once."""

    pool: Pool
    graph: KnnGraph
    config: GraphConfig
    neighbors: NeighborsConfig = NeighborsConfig()  # noqa: RUF009 - frozen

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.pool)

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids (n), sorted."""
        return self.pool.sample_ids

    def only(self, rows: Indices) -> Candidates:
        """Return some of the candidates, given by their places in ascending order."""
        return replace(self, pool=self.pool.take(rows), graph=self.graph.only(rows))

    @cached_property
    def similarities(self) -> Similarities:
        """The symmetric neighbour graph (n, n)."""
        return make_symmetric(self.graph, self.pool.vectors.scratch)

    @property
    def strata(self) -> Groups:
        """The recipe's strata."""
        return self.pool.strata

    @cached_property
    def mass(self) -> Indices:
        """Input rows (n,) that each sample represents."""
        # Whole numbers, so that sums of masses are exact in any order.
        return np.rint(self.pool.mass).astype(np.int64)

    @cached_property
    def quantized(self) -> QuantizedVectors:
        """The joint vectors (n, d), rounded so that their products are exact."""
        return quantize(self.joint(), self.pool.vectors.scratch)

    def cluster(self, k: int, seed: int) -> tuple[Floats, Indices]:
        """Return unit centroids (k, d) and each sample's cluster (n,), computed once."""
        if (k, seed) not in self._clusters:
            # FAISS takes seeds of 31 bits.
            device, bits = self.neighbors.device, seed % (1 << 31)
            self._clusters[k, seed] = kmeans(self.joint(), k, bits, device=device)
        return self._clusters[k, seed]

    @cached_property
    def _clusters(self) -> dict[tuple[int, int], tuple[Floats, Indices]]:
        return {}

    def joint(self) -> Floats:
        """Return the graph's joint vectors (n, d): unit, or zero for a sample without any part."""
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

    def spread(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
        """Apply a pure, picklable function: by workers for a large pool, else in this process."""
        large = len(self.candidates) > self.candidates.neighbors.spread_above
        executor = self.executor if large else LocalExecutor()
        return list(executor.run(function, tasks))

    def shuffle(self) -> Indices:
        """Return rows (n,) in the order of a hash of seed and sample id."""
        # A hash and no generator: another sample or another order of rows moves no one's place.
        seed = str(self.seed)
        keys = np.empty(len(self.candidates), f"S{KEY_BYTES}")
        for row, sample in enumerate(self.candidates.pool.iter_ids()):
            keys[row] = bytes.fromhex(digest(seed, sample)[: 2 * KEY_BYTES])
        return np.argsort(keys, kind="stable")

    def cluster(self, clusters: int | None) -> tuple[Floats, Indices]:
        """Return unit centroids (k, d) and each sample's cluster (n,), by spherical k-means.

        `clusters` is k, or None for about the square root of the pool's size. It runs in this
        process, so that clusters do not depend on how later work is spread over workers.
        """
        n = len(self.candidates)
        k = min(n, max(1, round(n**0.5) if clusters is None else clusters))
        return self.candidates.cluster(k, self.seed)


@dataclass(frozen=True, slots=True)
class Picked:
    """Rows (m,) of selected samples, best first, and what each added (m,), NaN where unknown."""

    order: Indices
    gain: Doubles


Picker = Callable[[Indices], Picked]
"""Picks `counts` (g,) samples of each group."""


class MethodConfig(Config):
    """Settings of a selection method.

    A new method subclasses it in a file of its own, adds a `kind: Literal[...]` tag with its name,
    and returns a picker: `pick_in_order` for a method that ranks the pool once, else a function of
    the counts. `AnyMethod` in `curation/selection/__init__.py` lists it; a line in
    docs/selection.md and one in the tests' `METHODS` complete it.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig()
    """Quotas where the recipe names none."""
    additive: ClassVar[bool] = False
    """Whether gains add up to the value of an objective."""

    kind: str
    """Name of the method."""

    def depends_on_seed(self, samples: int) -> bool:
        """Return whether another seed may pick other samples of a pool of so many.

        A method that says False is selected once where others are drawn several times.
        """
        return True

    def within(self, sample_ids: Sequence[str]) -> Self:
        """Return the method for a part of a pool: settings that name samples keep those of it."""
        return self

    def picker(self, context: SelectionContext) -> Picker:
        """Compute what does not depend on the budget, and return the function that picks.

        The search for a budget calls the picker several times. A pick depends on pool, graph,
        quality, seed and counts alone, and has exactly the samples that the counts ask for.
        """
        raise NotImplementedError


def pick_in_order(order: Indices, gain: Doubles, groups: Groups) -> Picker:
    """Return a picker that takes the first of each group in one order (n,); `gain` is by row."""

    def pick(counts: Indices) -> Picked:
        chosen = take_first(order, groups, counts)
        return Picked(chosen, gain[chosen])

    return pick


def take_first(order: Indices, groups: Groups, counts: Indices) -> Indices:
    """Return the first `counts` (g,) of each group in an order (n,) of rows, in that order."""
    code = groups.code[order]
    by_group = np.argsort(code, kind="stable")
    rank_in_group = np.empty(len(order), np.int64)
    starts = np.searchsorted(code[by_group], code[by_group])
    rank_in_group[by_group] = np.arange(len(order)) - starts
    return order[rank_in_group < counts[code]]


class LongestPicks:
    """Keeps the longest picks of each group, for methods whose picks begin with those for fewer."""

    def __init__(self, groups: int) -> None:
        self._picks = [Picked(np.empty(0, np.int64), np.zeros(0)) for _ in range(groups)]

    def first(self, counts: Indices, pick: Callable[[list[int]], Sequence[Picked]]) -> list[Picked]:
        """Return the first `counts` (g,) picks of each group.

        `pick` gives so many picks of each of some groups, and is called for those that lack some.
        """
        wanted = counts.tolist()
        short = [n for n, count in enumerate(wanted) if count > len(self._picks[n].order)]
        for group, picked in zip(short, pick(short), strict=True):
            self._picks[group] = picked
        return [
            Picked(picked.order[:count], picked.gain[:count])
            for picked, count in zip(self._picks, wanted, strict=True)
        ]


def interleave(parts: Sequence[Picked]) -> Picked:
    """Merge the picks of several groups into one order in which each keeps its share throughout."""
    # The t-th of m picks has the key (t + 1/2) / m, so that any beginning of the order holds every
    # group in proportion; equal keys go by group, which a stable sort keeps.
    keys = [(np.arange(len(part.order)) + 0.5) / max(1, len(part.order)) for part in parts]
    by_key = np.argsort(np.concatenate([np.zeros(0), *keys]), kind="stable")
    order = np.concatenate([np.empty(0, np.int64), *(part.order for part in parts)])
    gain = np.concatenate([np.zeros(0), *(part.gain for part in parts)])
    return Picked(order[by_key], gain[by_key])

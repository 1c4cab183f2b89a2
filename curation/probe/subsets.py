"""Cut the pool into folds and select the subsets that the probe is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, Pool, build_graph
from curation.probe.settings import ArmConfig
from curation.selection.method import Candidates
from curation.selection.quality import Scores, read_quality
from curation.selection.row_picker import RowPicker
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.split_assignment import assign_splits

HANDFUL: Final = 10


def cut_folds(pool: Pool, group: Indices, folds: int, seed: int) -> Indices:
    """Return the fold (n,) of each sample: whole groups, strata spread as evenly as they allow.

    Args:
        pool: The samples (n) and their strata.
        group: Equal for the samples of one group (n,).
        folds: Number of folds.
        seed: Of the order of groups of equal size.
    """
    shares = {str(fold): 1.0 / folds for fold in range(folds)}
    names = assign_splits(pool.sample_ids, group, pool.strata, shares, seed)
    return np.array([int(name) for name in names], np.int64)


def draw_random(rows: Indices, size: int, seed: Sequence[int]) -> Indices:
    """Return `size` of some samples, drawn without replacement, in ascending order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:size])


class ArmSelector:
    """Selects subsets of a training part of the pool by the arms' methods.

    What no budget changes is made once: neighbour graphs for each setting of vectors and
    neighbours, quality for each scorer, what a method computes for each seed.
    """

    def __init__(
        self,
        pool: Pool,
        rows: Indices,
        graph: GraphConfig,
        neighbors: NeighborsConfig,
        scores: Scores,
        executor: Executor,
    ) -> None:
        self._pool = pool.take(rows)
        self._rows = rows
        self._usual_graph = graph
        self._neighbors = neighbors
        self._scores = scores
        self._executor = executor
        self._candidates: dict[GraphConfig, Candidates] = {}
        self._quality: dict[str | None, Doubles] = {}

    def draws(
        self, arm: ArmConfig, sizes: Sequence[int], count: int, seed: int
    ) -> dict[int, list[Indices]]:
        """Return the subset of each draw by size; one alone where the method leaves no chance.

        Args:
            arm: The method and its settings.
            sizes: Numbers of samples in a subset.
            count: Number of draws.
            seed: Of the first draw; each further draw takes the next number.

        Raises:
            UsageError: the method cannot select from this part of the pool.
        """
        subsets: dict[int, list[Indices]] = {size: [] for size in sizes}
        seeded = arm.method.depends_on_seed(len(self._rows))
        # The largest first: a method may keep what it picked for the smaller ones.
        left = sorted(subsets, reverse=True)
        for draw in range(count if seeded else 1):
            picker = self._picker(arm, seed + draw)
            for size in tuple(left):
                subset = np.sort(self._rows[self._pick(arm, picker, size)])
                # A second draw that is like the first: at this size chance decides nothing. A
                # handful of rows may be equal by chance.
                if draw == 1 and size > HANDFUL and np.array_equal(subset, subsets[size][0]):
                    left.remove(size)
                else:
                    subsets[size].append(subset)
        return subsets

    def _pick(self, arm: ArmConfig, picker: RowPicker, size: int) -> Indices:
        try:
            return picker.pick(size).order
        except UsageError as error:
            where = f"arm {arm.name!r}, selecting {size} of {len(self._rows)} samples of a fold"
            raise error.reworded(f"{where}: {error}") from error

    def _picker(self, arm: ArmConfig, seed: int) -> RowPicker:
        candidates = self._graph(arm)
        return RowPicker(
            candidates,
            arm.method.within(candidates.sample_ids),
            arm.quotas,
            self._quality_by(arm.quality),
            seed,
            self._executor,
            self._scores,
        )

    def _quality_by(self, scorer: str | None) -> Doubles:
        if scorer not in self._quality:
            self._quality[scorer] = read_quality(self._pool.ids, self._scores, scorer)
        return self._quality[scorer]

    def _graph(self, arm: ArmConfig) -> Candidates:
        config = arm.graph or self._usual_graph
        if config not in self._candidates:
            vectors, runner = self._pool.vectors, self._executor.run
            found = build_graph(vectors, config, self._neighbors, runner)
            self._candidates[config] = Candidates(self._pool, found, config, self._neighbors)
        return self._candidates[config]

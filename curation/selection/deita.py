"""Pick the best first, unless they repeat what is already selected: DEITA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curation.neighbors import find_pairs
from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext, take_first
from medsift.arrays import Indices


class DeitaConfig(MethodConfig):
    """Settings of `deita`: score order without samples that are near a selected one.

    Liu et al. 2024, "What makes good data for alignment?" (arXiv 2312.15685), whose score is
    complexity · quality; here it is the quality percentile, and the vector is the joint one.
    Skipped samples fill the budget, best first, when nothing else is left, so that methods are
    compared at equal budgets. `gain` is the score.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {"threshold": "max_cosine"}

    kind: Literal["deita"] = "deita"
    max_cosine: float = Field(default=0.9, gt=0.0, lt=1.0)
    """A sample whose cosine to a selected one is above this is skipped."""

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """Find the pairs above the threshold once; then walk down the scores."""
        candidates, groups = context.candidates, context.groups
        # The search finds pairs at or above a cosine; here the limit itself is still allowed.
        above = float(np.nextafter(self.max_cosine, 2.0))
        runner = candidates.neighbors.runner(len(candidates), context.executor.run)
        pairs = find_pairs(candidates.joint(), above, candidates.neighbors, runner).pairs
        # The rows that each row is paired with.
        row = np.concatenate([pairs.left, pairs.right])
        other = np.concatenate([pairs.right, pairs.left])
        by_row = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[by_row], np.arange(1, len(candidates)))
        near = np.split(other[by_row], starts)
        order = np.argsort(-context.quality, kind="stable")

        def pick(counts: Indices) -> Picked:
            chosen = _walk(order, near, groups.code, counts)
            skipped = order[~np.isin(order, chosen)]
            missing = counts - np.bincount(groups.code[chosen], minlength=len(counts))
            chosen = np.concatenate([chosen, take_first(skipped, groups, missing)])
            return Picked(chosen, context.quality[chosen])

        return pick


def _walk(order: Indices, near: list[Indices], code: Indices, counts: Indices) -> Indices:
    """Take the rows of an order that are not near one taken before, within each group's count."""
    skipped = np.zeros(len(order), np.bool_)
    missing = counts.tolist()
    chosen = []
    for row, group in zip(order.tolist(), code[order].tolist(), strict=True):
        if missing[group] and not skipped[row]:
            missing[group] -= 1
            chosen.append(row)
            skipped[near[row]] = True
    return np.array(chosen, np.int64)

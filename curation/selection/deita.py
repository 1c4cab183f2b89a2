"""DEITA: the best first, unless it repeats what is already selected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curation.neighbors import Pairs, find_pairs
from curation.selection.method import (
    MethodConfig,
    Picked,
    Picker,
    SelectionContext,
    first_of_groups,
)
from medsift.arrays import Indices


class DeitaConfig(MethodConfig):
    """Score order; a sample is skipped where its cosine to a selected one is above `max_cosine`.

    Liu et al. 2024, "What makes good data for alignment?" (arXiv 2312.15685), whose score is
    complexity · quality; here it is the quality percentile, and the vector is the joint one.
    Skipped samples fill the budget, best first, when nothing else is left, so that methods are
    compared at equal budgets. `gain` is the score.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {"threshold": "max_cosine"}

    kind: Literal["deita"] = "deita"
    max_cosine: float = Field(default=0.9, gt=0.0, lt=1.0)

    def picker(self, context: SelectionContext) -> Picker:
        """Find the pairs above the threshold once; then walk down the scores."""
        candidates, groups = context.candidates, context.groups
        above = float(np.nextafter(self.max_cosine, 2.0))
        run = context.executor.run
        config = candidates.neighbors
        spread = config.runner(len(candidates), run)
        pairs = find_pairs(candidates.joint(), above, config, spread).pairs
        near = _near(len(candidates), pairs)
        order = np.argsort(-context.quality, kind="stable")

        def pick(counts: Indices) -> Picked:
            chosen = _walk(order, near, groups.code, counts)
            rest = order[~np.isin(order, chosen)]
            left = counts - np.bincount(groups.code[chosen], minlength=len(counts))
            chosen = np.concatenate([chosen, first_of_groups(rest, groups, left)])
            return Picked(chosen, context.quality[chosen])

        return pick


def _near(n: int, pairs: Pairs) -> list[Indices]:
    """The rows that each of n rows repeats or is repeated by."""
    one = np.concatenate([pairs.left, pairs.right])
    other = np.concatenate([pairs.right, pairs.left])
    by_one = np.argsort(one, kind="stable")
    starts = np.searchsorted(one[by_one], np.arange(1, n))
    return np.split(other[by_one], starts) if n else []


def _walk(order: Indices, near: list[Indices], code: Indices, counts: Indices) -> Indices:
    """Places taken: not near one taken before, in a group that still wants some."""
    skipped = np.zeros(len(order), np.bool_)
    left = counts.tolist()
    chosen = []
    for place, group in zip(order.tolist(), code[order].tolist(), strict=True):
        if left[group] and not skipped[place]:
            left[group] -= 1
            chosen.append(place)
            skipped[near[place]] = True
    return np.array(chosen, np.int64)

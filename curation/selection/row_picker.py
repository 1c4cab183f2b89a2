"""Pick rows of a pool by a method's settings, at any size, without weighing or measuring them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curation.selection.method import Candidates, MethodConfig, Picked, Picker, SelectionContext
from curation.selection.quality import Scores
from curation.selection.quotas import Groups, QuotasConfig
from curation.selection.skill_groups import read_skill_groups
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.execution import Executor


@dataclass(frozen=True)
class RowPicker:
    """Picks rows by one method under its quotas; what no size changes is computed once.

    `quality` (n,) is in [0, 1]. Without `quotas` the method's usual ones count. Quotas by skill are
    read from `scores`.
    """

    candidates: Candidates
    method: MethodConfig
    quotas: QuotasConfig | None
    quality: Doubles
    seed: int
    executor: Executor
    scores: Scores = Scores(None)  # noqa: RUF009 - frozen

    def counts(self, size: int) -> Indices:
        """Return how many rows a selection of a size takes of each group (g,).

        Raises:
            UsageError: more than the pool has, quotas for a group that it lacks, or no skills.
        """
        return self._quotas.counts(self.groups, size)

    def pick(self, size: int) -> Picked:
        """Pick so many rows.

        Raises:
            UsageError: as `counts`; a target that the pool lacks; a method that gives other rows
                than so many different ones.
            InputError: vectors that are not finite.
        """
        picked = self._picker(self.counts(size))
        different = len(np.unique(picked.order))
        if not len(picked.order) == different == size:
            raise UsageError(
                f"the method {self.method.kind!r} picked {different} different samples of a pool "
                f"of {len(self.candidates)} where {size} were asked for; ask for fewer, or choose "
                "another method",
                code="selection_short",
                method=self.method.kind,
                picked=different,
                wanted=size,
            )
        return picked

    @cached_property
    def _quotas(self) -> QuotasConfig:
        return self.quotas or self.method.usual_quotas

    @cached_property
    def groups(self) -> Groups:
        """The groups (g) that the quotas divide a budget among."""
        if self._quotas.kind == "none":
            return Groups.one(len(self.candidates))
        if self._quotas.by == "skill":
            return read_skill_groups(self.candidates.pool.ids, self.scores)
        if self._quotas.by == "source":
            return Groups.of_parts(self.candidates.pool.samples["source"].chunks)
        return self.candidates.strata

    @cached_property
    def _picker(self) -> Picker:
        context = SelectionContext(
            self.candidates, self.groups, self.quality, self.seed, self.executor
        )
        return self.method.picker(context)

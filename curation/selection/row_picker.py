"""Pick rows of a pool by a method's settings, at any size, without weighing or measuring them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from curation.selection.method import Candidates, MethodConfig, Picked, Picker, SelectionContext
from curation.selection.quality import Scores
from curation.selection.quotas import Groups, QuotasConfig
from curation.selection.skill_groups import read_skill_groups
from medsift.arrays import Doubles, Indices
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
            UsageError: as `counts`; a target that the pool lacks.
            InputError: vectors that are not finite.
        """
        return self._picker(self.counts(size))

    @cached_property
    def _quotas(self) -> QuotasConfig:
        return self.quotas or self.method.usual_quotas

    @cached_property
    def groups(self) -> Groups:
        """The groups (g) that the quotas divide a budget among."""
        if self._quotas.kind == "none":
            return Groups.one(len(self.candidates))
        if self._quotas.by == "skill":
            return read_skill_groups(self.candidates.sample_ids, self.scores)
        return self.candidates.strata

    @cached_property
    def _picker(self) -> Picker:
        context = SelectionContext(
            self.candidates, self.groups, self.quality, self.seed, self.executor
        )
        return self.method.picker(context)

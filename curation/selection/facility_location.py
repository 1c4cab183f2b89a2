"""Facility location: the subset that is most similar to everything in the pool."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curation.selection.greedi import two_rounds
from curation.selection.greedy import Picks, greedy
from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext
from curation.selection.neighbor_matrix import UNIT, Similarities
from medsift.arrays import Doubles, Indices

_QUALITY_UNIT = 1 << 10


class FacilityLocationConfig(MethodConfig):
    """Maximise f(S) = Σ_i mass_i · max_{j∈S} q_j · sim(i, j) over the pool's neighbour graph.

    Lazy greedy, exact (see `greedy`): at least 1 − 1/e of the best value without quotas, at least
    1/2 with them (Nemhauser, Wolsey and Fisher 1978; Fisher, Nemhauser and Wolsey 1978). For
    subset selection: Wei, Iyer and Bilmes 2015; DELIFT, arXiv 2411.04425.

    Quality weighs on the candidate: a poor sample q_j < 1 serves its neighbours less, so a better
    neighbour represents them all, while a region where all are poor is still served. On the client
    it would thin out poor regions but leave to chance which sample represents them. All strata
    compete in one objective, so what one stratum covers in another is not paid for twice.
    """

    additive: ClassVar[bool] = True

    kind: Literal["facility_location"] = "facility_location"
    quality_weight: float = Field(default=0.25, ge=0.0, le=1.0)
    """q_j = 1 − quality_weight · (1 − quality percentile); 0 ignores quality."""
    partition_above: int = Field(default=2_000_000, ge=2)
    """Candidates above which greedy runs in two rounds over parts (see `two_rounds`)."""

    def picker(self, context: SelectionContext) -> Picker:
        """Maximise over one pool-wide objective; with several groups under their counts."""
        candidates = context.candidates
        values = self._values(candidates.similarities, context.quality)

        def pick(counts: Indices) -> Picked:
            picks = self._maximise(values, context, counts)
            return Picked(picks.order, picks.gain / UNIT)

        return pick

    def _values(self, similarities: Similarities, quality: Doubles) -> Similarities:
        factor = np.rint((1.0 - self.quality_weight * (1.0 - quality)) * _QUALITY_UNIT)
        if (factor == _QUALITY_UNIT).all():
            return similarities
        return similarities.scaled(factor.astype(np.int64), _QUALITY_UNIT)

    def _maximise(self, values: Similarities, context: SelectionContext, counts: Indices) -> Picks:
        mass, code = context.candidates.mass, context.groups.code
        if len(values) <= self.partition_above:
            return greedy(values, mass, code, counts)
        parts = -(-len(values) // self.partition_above)
        place = np.empty(len(values), np.int64)
        place[context.shuffled()] = np.arange(len(values))
        return two_rounds(values, mass, code, counts, place % parts, context.spread)

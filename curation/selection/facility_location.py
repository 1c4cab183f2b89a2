"""Pick the subset that is most similar to everything in the pool: facility location."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from curation.selection.greedi import two_rounds
from curation.selection.greedy import greedy
from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext
from curation.selection.neighbor_matrix import UNIT, make_symmetric
from medsift.arrays import Indices

_QUALITY_UNIT = 1 << 10
_MASS_UNIT = 1 << 6


class FacilityLocationConfig(MethodConfig):
    """Settings of `facility_location`: maximise f(S) = Σ_i mass_i · max_{j∈S} q_j · sim(i, j).

    sim(i, j) is the similarity in the pool's neighbour graph where i is one of the `neighbors`
    nearest others of j or j one of those of i, 1 where i is j, and 0 elsewhere. Lazy greedy, exact
    (see `greedy`): at least 1 − 1/e of the best value without quotas, at least 1/2 with them
    (Nemhauser, Wolsey and Fisher 1978; Fisher, Nemhauser and Wolsey 1978). For subset selection:
    Wei, Iyer and Bilmes 2015; DELIFT, arXiv 2411.04425.

    Quality weighs on the candidate: a poor sample q_j < 1 serves its neighbours less, so a better
    neighbour represents them all, while a region where all are poor is still served. On the client
    it would thin out poor regions but leave to chance which sample represents them. All strata
    compete in one objective, so what one stratum covers in another is not paid for twice.
    """

    additive: ClassVar[bool] = True

    kind: Literal["facility_location"] = "facility_location"
    neighbors: int | None = Field(default=None, ge=1)
    """Nearest others of each sample that count; all of the graph's when not given. With few, what
    is typical of a dense region comes first; with many, what is a little like everything."""
    quality_weight: float = Field(default=0.25, ge=0.0, le=1.0)
    """Influence of quality: q_j = 1 − quality_weight · (1 − quality percentile); 0 ignores it."""
    mass_power: float = Field(default=1.0, ge=0.0, le=1.0)
    """Influence of copies: mass_i = (input rows that sample i represents)^mass_power; 0 counts each
    sample once."""
    partition_above: int = Field(default=2_000_000, ge=2)
    """Candidates above which greedy runs in two rounds, over parts of at most this size."""

    def depends_on_seed(self, samples: int) -> bool:
        """Return whether a hash of the seed deals the pool to parts."""
        return samples > self.partition_above

    def picker(self, context: SelectionContext) -> Picker:
        """Maximise over one pool-wide objective; with several groups under their counts."""
        candidates, code = context.candidates, context.groups.code
        values = candidates.similarities
        if self.neighbors is not None:
            nearest = candidates.graph.nearest(self.neighbors)
            values = make_symmetric(nearest, candidates.pool.vectors.scratch)
        # Whole numbers again, so that gains stay exact and equal gains stay ties.
        factor = np.rint((1.0 - self.quality_weight * (1.0 - context.quality)) * _QUALITY_UNIT)
        if (factor != _QUALITY_UNIT).any():
            values = values.scale_rows(factor.astype(np.int64), _QUALITY_UNIT)
        # Counts are whole numbers as they are; roots of them need a finer unit.
        unit = 1 if self.mass_power in (0.0, 1.0) else _MASS_UNIT
        mass = np.rint(candidates.pool.mass**self.mass_power * unit).astype(np.int64)
        parts = -(-len(values) // self.partition_above)

        def pick(counts: Indices) -> Picked:
            if parts <= 1:
                picks = greedy(values, mass, code, counts)
            else:
                # Dealt out in the order of a hash: parts of equal size, whatever the order of rows.
                part = np.empty(len(values), np.int64)
                part[context.shuffle()] = np.arange(len(values)) % parts
                picks = two_rounds(values, mass, code, counts, part, context.spread)
            return Picked(picks.order, picks.gain / (UNIT * unit))

        return pick

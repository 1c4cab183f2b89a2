"""Pick the subset under whose kernel density estimate the pool is most likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from curation.selection.greedi import two_rounds
from curation.selection.greedy import greedy
from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext
from curation.selection.neighbor_matrix import UNIT, Similarities
from curation.selection.quotas import QuotasConfig
from medsift.arrays import Doubles, Indices, Narrow

KERNEL_UNIT: Final = 1 << 10
"""Whole number of a kernel value of 1."""
LOG_UNIT: Final = 1 << 24
"""Whole number of a natural logarithm of 1."""
MOST: Final = 1 << 24
"""Greatest sum that counts; above it all are alike: that of 16,384 copies."""


class KernelLikelihoodConfig(MethodConfig):
    """Settings of `kernel_likelihood`: maximise Σ_i mass_i · log(1 + Σ_{j∈S} q_j k_ij / ε).

    k_ij = max(0, cos_ij)^p between neighbours, 1 with itself: Σ_{j∈S} q_j k_ij is the Parzen
    estimate of the density at sample i from the selection S alone (Parzen 1962), ε what is added
    where S has nothing near, and q_j the quality of j, as in `facility_location`. The objective is
    the pool's log-likelihood under that estimate, up to a constant of the size: its maximum is the
    selection of that size nearest to the pool in the sense of Kullback and Leibler. With the
    greatest term in place of the sum, and without the logarithm, it is facility location, which
    Wei, Iyer and Bilmes 2015 derive from the likelihood of a nearest-neighbour classifier.

    It adapts to the budget by itself. A first neighbour adds log(1 + k / ε) to a sample, a further
    one about k / d where the density is d already. A small selection so covers every region with a
    few samples in it, a larger one takes several samples where there are many, in proportion to
    their number, where facility location would go on with what is far from everything. Monotone and
    submodular, since it is concave over sums: greedy reaches at least 1 − 1/e of the best value
    without quotas, 1/2 with them.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")
    additive: ClassVar[bool] = True

    kind: Literal["kernel_likelihood"] = "kernel_likelihood"
    power: float = Field(default=4.0, gt=0.0)
    """p: the higher, the nearer a sample must be to count as covered."""
    background: float = Field(default=0.1, ge=1.0 / KERNEL_UNIT)
    """ε: the lower, the more a first neighbour counts before a second one."""
    quality_weight: float = Field(default=0.25, ge=0.0, le=1.0)
    """Influence of quality: q_j = 1 − quality_weight · (1 − quality percentile); 0 ignores it."""
    partition_above: int = Field(default=2_000_000, ge=2)
    """Candidates above which greedy runs in two rounds, over parts of at most this size."""

    def depends_on_seed(self, samples: int) -> bool:
        """Return whether the candidates are cut into parts, which is done by chance."""
        return samples > self.partition_above

    def picker(self, context: SelectionContext) -> Picker:
        """Maximise over one pool-wide objective; with several groups under their counts."""
        candidates, code = context.candidates, context.groups.code
        quality = 1.0 - self.quality_weight * (1.0 - context.quality)
        kernel = kernel_of(candidates.similarities, self.power, quality)
        objective = LogOfSum.up_to(kernel, self.background)
        parts = -(-len(kernel) // self.partition_above)

        def pick(counts: Indices) -> Picked:
            if parts <= 1:
                picks = greedy(kernel, candidates.mass, code, counts, objective=objective)
            else:
                # Dealt out in the order of a hash: parts of equal size, whatever the order of rows.
                part = np.empty(len(kernel), np.int64)
                part[context.shuffle()] = np.arange(len(kernel)) % parts
                picks = two_rounds(
                    kernel, candidates.mass, code, counts, part, context.spread, objective
                )
            return Picked(picks.order, picks.gain / LOG_UNIT)

        return pick


def kernel_of(similarities: Similarities, power: float, quality: Doubles) -> Similarities:
    """Return what each candidate gives its neighbours (n, n), in units of 1 / KERNEL_UNIT.

    Row j is quality_j · cos^power.
    """

    def kernel(row: Indices, cosine: Narrow) -> Indices:
        """Return the values (e,) of some entries."""
        value = (cosine / UNIT) ** power * quality[row]
        return np.rint(value * KERNEL_UNIT).astype(np.int64)

    # Entries that round to 0 stay, so that no row is empty.
    return similarities.revalue(kernel)


@dataclass(frozen=True, slots=True)
class LogOfSum:
    """The worth of a sample is log(1 + sum / ε) of the values that it has, in whole numbers.

    `table` has it for every sum. It is the sum of steps round(LOG_UNIT / (ε + sum)), which never
    grow: rounding the logarithm itself would let a gain rise by a unit, and greedy would be wrong.
    """

    table: Indices

    @classmethod
    def up_to(cls, kernel: Similarities, background: float) -> LogOfSum:
        """Tabulate every sum that a selection of the kernel's rows can reach."""
        most = min(MOST, int(kernel.matrix.sum(axis=0, dtype=np.int64).max(initial=0)))
        # The step from sum to sum + 1 is the derivative half way between them.
        middle = np.arange(most) + 0.5
        step = np.rint(LOG_UNIT / (background * KERNEL_UNIT + middle)).astype(np.int64)
        return cls(np.concatenate([np.zeros(1, np.int64), np.cumsum(step)]))

    def worth(self, served: Narrow, value: Narrow) -> Indices:
        """Return what values (e,) add to samples whose sums are `served` (e,)."""
        return np.asarray(self.table[self.serve(served, value)] - self.table[served], np.int64)

    def serve(self, served: Narrow, value: Narrow) -> Narrow:
        """Return the new sums (e,)."""
        return np.asarray(np.minimum(served + value, len(self.table) - 1), np.int32)

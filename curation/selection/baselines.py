"""Pick in one order: by one value, or at random, which many do not beat (arXiv 2410.09335)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow.compute as pc

from curation.selection.method import MethodConfig, Picker, SelectionContext, pick_in_order
from curation.selection.quotas import QuotasConfig


class RandomOrderConfig(MethodConfig):
    """Settings of a method that takes samples in the order of a hash of (seed, sample id).

    A sample's place depends on no other sample and on no order of rows.
    """

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once; chance gives no gain."""
        no_gain = np.full(len(context.candidates), np.nan)
        return pick_in_order(context.shuffle(), no_gain, context.groups)


class RandomConfig(RandomOrderConfig):
    """Settings of `random`: a uniform sample of the pool without replacement."""

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["random"] = "random"


class StratifiedRandomConfig(RandomOrderConfig):
    """Settings of `stratified_random`: `random` within each stratum, in proportion to its size.

    Proportional allocation of stratified sampling (Neyman 1934).
    """

    kind: Literal["stratified_random"] = "stratified_random"


class LongestConfig(MethodConfig):
    """Settings of `longest`: the longest answers in characters, equal ones by sample id.

    Zhao et al. 2024, "Long is more for alignment" (arXiv 2402.04833). `gain` is the length.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["longest"] = "longest"

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        answers = context.candidates.pool.samples["answer"]
        length = pc.fill_null(pc.utf8_length(answers), 0).to_numpy().astype(np.float64)
        return pick_in_order(np.argsort(-length, kind="stable"), length, context.groups)


class TopScoreConfig(MethodConfig):
    """Settings of `top_score`: the highest quality percentiles, equal ones by sample id.

    DataComp calls it filtering by score (Gadre et al. 2023, arXiv 2304.14108). It knows no
    diversity: two samples that say the same are both taken. `gain` is the percentile.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["top_score"] = "top_score"

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        order = np.argsort(-context.quality, kind="stable")
        return pick_in_order(order, context.quality, context.groups)

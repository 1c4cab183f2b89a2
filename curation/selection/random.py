"""Pick at random: the baselines that many methods do not beat (arXiv 2410.09335)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

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

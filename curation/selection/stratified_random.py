"""The stronger baseline: a random subset of every stratum."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picker, SelectionContext, by_order
from curation.selection.quotas import QuotasConfig


class StratifiedRandomConfig(MethodConfig):
    """As `random` within each stratum, proportional to its size unless the recipe says otherwise.

    Proportional allocation of stratified sampling (Neyman 1934).
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig()

    kind: Literal["stratified_random"] = "stratified_random"

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        none = np.full(len(context.candidates), np.nan)
        return by_order(context.shuffled(), none, context.groups)

"""The highest scores, and nothing else."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picker, SelectionContext, by_order
from curation.selection.quotas import QuotasConfig


class TopScoreConfig(MethodConfig):
    """Samples by quality percentile; equal ones by sample id. `gain` is the percentile.

    What DataComp calls filtering by score (Gadre et al. 2023, arXiv 2304.14108). It knows no
    diversity: two samples that say the same are both taken.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["top_score"] = "top_score"

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        order = np.argsort(-context.quality, kind="stable")
        return by_order(order, context.quality, context.groups)

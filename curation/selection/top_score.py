"""Pick the highest scores, and look at nothing else."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picker, SelectionContext, pick_in_order
from curation.selection.quotas import QuotasConfig


class TopScoreConfig(MethodConfig):
    """Settings of `top_score`: the highest quality percentiles, equal ones by sample id.

    DataComp calls it filtering by score (Gadre et al. 2023, arXiv 2304.14108). It knows no
    diversity: two samples that say the same are both taken. `gain` is the percentile.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["top_score"] = "top_score"

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        order = np.argsort(-context.quality, kind="stable")
        return pick_in_order(order, context.quality, context.groups)

"""Pick the longest answers: the baseline that rewards length alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow.compute as pc

from curation.selection.method import MethodConfig, Picker, SelectionContext, pick_in_order
from curation.selection.quotas import QuotasConfig


class LongestConfig(MethodConfig):
    """Settings of `longest`: the longest answers in characters, equal ones by sample id.

    Zhao et al. 2024, "Long is more for alignment" (arXiv 2402.04833). `gain` is the length.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["longest"] = "longest"

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        answers = context.candidates.pool.samples["answer"]
        length = pc.fill_null(pc.utf8_length(answers), 0).to_numpy().astype(np.float64)
        return pick_in_order(np.argsort(-length, kind="stable"), length, context.groups)

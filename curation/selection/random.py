"""The baseline that many methods do not beat (arXiv 2410.09335): a random subset."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picker, SelectionContext, by_order
from curation.selection.quotas import QuotasConfig


class RandomConfig(MethodConfig):
    """Samples in the order of a hash of (seed, sample id): a uniform sample without replacement.

    A sample's place depends on no other sample and on no order of rows.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    kind: Literal["random"] = "random"

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        none = np.full(len(context.candidates), np.nan)
        return by_order(context.shuffled(), none, context.groups)

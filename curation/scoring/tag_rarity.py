"""Score how rare a sample's stratum is: its surprise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from curation.pool.groups import Groups
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles


class TagRarityConfig(ScorerConfig):
    """Settings of `tag_rarity`; it has none.

    Samples of one stratum are equally rare, so that each has percentile 0.5 there: the value is
    for queries and for methods that look at all strata at once, and adds nothing to `quality`.
    """

    kind: Literal["tag_rarity"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the surprise (n,) of each sample's stratum, in nats."""
        return surprise(context.pool.strata)


def surprise(names: Sequence[str]) -> Doubles:
    """Return -log of the share (n,) that each of some names has among them."""
    groups = Groups.of(names)
    share = groups.sizes[groups.code] / max(len(groups), 1)
    surprises: Doubles = -np.log(share)
    return surprises

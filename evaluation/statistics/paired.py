"""Two models on the same items: difference, test and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.clusters import cluster_ids
from evaluation.statistics.difference import Difference, difference
from evaluation.statistics.matching import match_items
from evaluation.statistics.mcnemar import McNemar, mcnemar
from medsift.arrays import Doubles
from medsift.errors import UsageError

NonInferiority = Literal["non-inferior", "inferior", "inconclusive"]
Superiority = Literal["superior", "worse", "inconclusive"]
RIGHT_OR_WRONG = ("closed", "choice")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first model against the second, and what that says at the stated margin.

    `mcnemar` is over closed and choice items; None without any, or with several seeds.
    """

    difference: Difference
    margin: float
    non_inferiority: NonInferiority
    superiority: Superiority
    mcnemar: McNemar | None


def paired(
    first: pa.Table | Sequence[pa.Table],
    second: pa.Table | Sequence[pa.Table],
    margin: float,
    score: str = "score",
    resampling: Resampling | None = None,
) -> Comparison:
    """Compare scored predictions of two models, or of several seeds of each, item by item.

    Args:
        first: predictions with `benchmark`, `item_id` and the score; rows in any order.
        second: the same items by the other model.
        margin: how much worse still counts as no worse, in (0, 1); to be stated beforehand.
        score: column to compare, in [0, 1].
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: items twice, missing or unknown in one table; scores missing or outside
            [0, 1]; a margin outside (0, 1).
    """
    check_margin(margin)
    arms = [[arm] if isinstance(arm, pa.Table) else list(arm) for arm in (first, second)]
    matched = match_items(arms, score)
    scores = [np.stack([_scores(table, score) for table in arm]) for arm in matched]
    items = matched[0][0]
    found = difference(scores[0], scores[1], cluster_ids(items), resampling)
    return Comparison(
        difference=found,
        margin=margin,
        non_inferiority=non_inferiority(found, margin),
        superiority=superiority(found),
        mcnemar=_mcnemar(items, scores[0], scores[1]),
    )


def check_margin(margin: float) -> None:
    """Refuse a margin outside (0, 1). Raises UsageError."""
    if not 0 < margin < 1:
        raise UsageError(
            f"margin {margin:g} is not allowed; it is a share between 0 and 1: 0.02 for 2 points",
            code="statistic_input_invalid",
            name="margin",
            value=margin,
        )


def non_inferiority(found: Difference, margin: float) -> NonInferiority:
    """Whether the 95% interval lies above -margin (one-sided 97.5%), below it, or across."""
    if found.low is None or found.high is None:
        return "inconclusive"
    if found.low > -margin:
        return "non-inferior"
    return "inferior" if found.high < -margin else "inconclusive"


def superiority(found: Difference) -> Superiority:
    """Whether the 95% interval lies above 0, below it, or across."""
    if found.low is None or found.high is None:
        return "inconclusive"
    if found.low > 0:
        return "superior"
    return "worse" if found.high < 0 else "inconclusive"


def _scores(table: pa.Table, name: str) -> Doubles:
    """Scores (n,) of a column, NaN where null."""
    column = pc.fill_null(table[name].cast(pa.float64()), np.nan)
    found: Doubles = column.to_numpy()
    return found


def _mcnemar(items: pa.Table, first: Doubles, second: Doubles) -> McNemar | None:
    if "answer_type" not in items.column_names or len(first) > 1 or len(second) > 1:
        return None
    closed = pc.is_in(items["answer_type"], value_set=pa.array(RIGHT_OR_WRONG)).to_numpy()
    return mcnemar(first[0][closed], second[0][closed]) if closed.any() else None

"""Compare two models on the same items: difference, test and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling
from medsift.statistics.clusters import cluster_ids, score_column
from medsift.statistics.difference import Difference, difference
from medsift.statistics.matching import match_items

NonInferiority = Literal["non-inferior", "inferior", "inconclusive"]
Superiority = Literal["superior", "worse", "inconclusive"]
RIGHT_OR_WRONG = ("closed", "choice")


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items compared, right by one model only, and the two-sided p; None without such items."""

    n: int
    only_first: int
    only_second: int
    p: float | None


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
    scores = [np.stack([score_column(table, score) for table in arm]) for arm in matched]
    items = matched[0][0]
    test = None
    # McNemar's test knows one run of each model, whose answers are right or wrong.
    if "answer_type" in items.column_names and [len(arm) for arm in scores] == [1, 1]:
        closed = pc.is_in(items["answer_type"], value_set=pa.array(RIGHT_OR_WRONG)).to_numpy()
        test = mcnemar(scores[0][0][closed], scores[1][0][closed]) if closed.any() else None
    apart = difference(scores[0], scores[1], cluster_ids(items), resampling)
    return Comparison(apart, margin, non_inferiority(apart, margin), superiority(apart), test)


def check_margin(margin: float) -> None:
    """Raise UsageError for a margin outside (0, 1)."""
    if not 0 < margin < 1:
        raise UsageError(
            f"margin {margin:g} is not allowed; it is a share between 0 and 1: 0.02 for 2 points",
            code="statistic_input_invalid",
            name="margin",
            value=margin,
        )


def non_inferiority(apart: Difference, margin: float) -> NonInferiority:
    """Return whether the 95% interval is above -margin (one-sided 97.5%), below it, or across."""
    if apart.low is None or apart.high is None:
        return "inconclusive"
    if apart.low > -margin:
        return "non-inferior"
    # An end that is exactly at the margin proves neither.
    return "inferior" if apart.high < -margin else "inconclusive"


def superiority(apart: Difference) -> Superiority:
    """Return whether the 95% interval is above 0, below it, or across."""
    if apart.low is None or apart.high is None:
        return "inconclusive"
    if apart.low > 0:
        return "superior"
    return "worse" if apart.high < 0 else "inconclusive"


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test right or wrong (n,), (n,) of two models (McNemar 1947, exact binomial form).

    Items count as independent, which questions about one picture are not: next to a clustered
    interval it says how few items decide. Raises UsageError for scores other than 0 and 1.
    """
    from scipy.special import bdtr  # type: ignore[import-untyped]

    scores = [np.asarray(arm, np.float64) for arm in (first, second)]
    for arm in scores:
        partial = arm[~np.isin(arm, (0.0, 1.0))]
        if len(partial):
            raise UsageError(
                f"McNemar's test needs scores of 0 or 1, not {partial[0]:g}; test a column of "
                "right and wrong answers",
                code="statistic_input_invalid",
                value=float(partial[0]),
            )
    only_first = int((scores[0] > scores[1]).sum())
    only_second = int((scores[0] < scores[1]).sum())
    apart = only_first + only_second
    # Were the models equally good, each of these items would be a fair coin. Both tails count,
    # and the middle outcome is in both, hence the bound of 1.
    tail = bdtr(min(only_first, only_second), apart, 0.5)
    return McNemar(
        len(scores[0]), only_first, only_second, min(1.0, 2.0 * float(tail)) if apart else None
    )

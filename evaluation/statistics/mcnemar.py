"""McNemar's exact test: of the items that only one model got right, who got more?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medsift.errors import UsageError


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items compared, right by one model only, and the two-sided p; None without such items."""

    n: int
    only_first: int
    only_second: int
    p: float | None


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Test right or wrong (n,), (n,) of two models (McNemar 1947, exact binomial form).

    Items count as independent, which questions about one picture are not: next to a clustered
    interval it says how few items decide. Raises UsageError for scores other than 0 and 1.
    """
    scores = [np.asarray(arm, np.float64) for arm in (first, second)]
    for arm in scores:
        partial = arm[~np.isin(arm, (0.0, 1.0))]
        if len(partial):
            raise UsageError(
                f"McNemar's test needs scores of 0 or 1; found {partial[0]:g}",
                code="statistic_input_invalid",
                value=float(partial[0]),
            )
    only_first = int((scores[0] > scores[1]).sum())
    only_second = int((scores[0] < scores[1]).sum())
    return McNemar(len(scores[0]), only_first, only_second, _two_sided(only_first, only_second))


def _two_sided(heads: int, tails: int) -> float | None:
    from scipy.special import bdtr  # type: ignore[import-untyped]

    tossed = heads + tails
    return min(1.0, 2.0 * float(bdtr(min(heads, tails), tossed, 0.5))) if tossed else None

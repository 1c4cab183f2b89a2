"""Which scores say the same, and which only measure length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.scoring.percentiles import ranks
from medsift.arrays import Doubles
from medsift.manifest.schema import arrow_schema

LENGTH: Final = "answer_length"
CORRELATIONS: Final = arrow_schema("correlations")


def correlations(scores: Mapping[str, Doubles], length: Doubles) -> pa.Table:
    """Rank correlation of each score (n,) with the answers' length (n,) and every other score."""
    lines = _lines({**scores, LENGTH: length})
    return pa.Table.from_pylist(list(lines), schema=CORRELATIONS)


def _lines(columns: Mapping[str, Doubles]) -> Iterator[dict[str, Any]]:
    for scorer in columns:
        for other in columns:
            if LENGTH != scorer != other:
                rho, n = spearman(columns[scorer], columns[other])
                yield {"scorer": scorer, "other": other, "rho": rho, "n": n}


def spearman(one: Doubles, other: Doubles) -> tuple[float | None, int]:
    """Spearman's rho of the n pairs that have both values, and n; None where one is constant.

    Pearson's correlation of the ranks, equal values sharing their mean rank (Spearman 1904).
    """
    both = ~(np.isnan(one) | np.isnan(other))
    n = int(both.sum())
    if not n:
        return None, 0
    a, b = ranks(one[both]) - (n - 1) / 2.0, ranks(other[both]) - (n - 1) / 2.0
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return (float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0.0 else None), n

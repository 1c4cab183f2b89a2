"""Make the manifest's tables of a pool's scores: ranked, combined into one, and correlated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.pool import Pool
from curation.pool.groups import ROWS_AT_A_TIME, Groups
from curation.pool.pool import strata_of
from curation.scoring.config import QUALITY, ScoresConfig
from curation.scoring.percentiles import rank_percentiles
from medsift.arrays import Doubles
from medsift.errors import InputError
from medsift.manifest.schema import arrow_schema

SCORES: Final = arrow_schema("scores")
COMBINATIONS: Final = arrow_schema("combinations")
CORRELATIONS: Final = arrow_schema("correlations")
LENGTH: Final = "answer_length"


@dataclass(frozen=True, slots=True)
class ScoreTables:
    """The tables of a pool's scores: `scores` in parts that are made as they are taken."""

    scores: Iterable[pa.Table]
    combinations: pa.Table
    correlations: pa.Table


def score_tables(pool: Pool, values: Mapping[str, Doubles], config: ScoresConfig) -> ScoreTables:
    """Return the tables `scores`, `combinations` and `correlations` of scorers' values (n,).

    With weights, `quality` is one score more: the weighted mean of the percentiles, ranked like
    the others.

    Raises:
        InputError: a scorer gave other than one finite value, or NaN, for each sample.
    """
    n = len(pool)
    for scorer, scores in values.items():
        if scores.shape != (n,):
            message = f"scorer {scorer!r} gave {scores.shape} values for {n} samples"
            raise InputError(message, code="score_invalid", scorer=scorer, shape=scores.shape)
        infinite = np.flatnonzero(np.isinf(scores))
        if len(infinite):
            message = (
                f"scorer {scorer!r} gave {len(infinite)} infinite values, the first at sample "
                f"{infinite[0]}; NaN means a missing one"
            )
            raise InputError(message, code="score_invalid", scorer=scorer, infinite=len(infinite))
    within = {scorer.kind for scorer in config.scorers if scorer.within_modality}
    modal = _within_modality(pool) if within else pool.strata
    percentiles = {
        name: rank_percentiles(scores, modal if name in within else pool.strata)
        for name, scores in values.items()
    }
    # A part is negative where a high score is bad.
    sign: dict[str, float] = {
        scorer.kind: 1.0 if scorer.higher_is_better else -1.0 for scorer in config.scorers
    }
    weights = {part: sign[part] * weight for part, weight in config.weights.items() if weight > 0.0}
    if weights:
        quality = combine(percentiles, weights)
        values = {**values, QUALITY: quality}
        # A mean of percentiles crowds around the middle: ranked again it is as even as its parts.
        percentiles[QUALITY] = rank_percentiles(quality, pool.strata)
    combined = [
        {"scorer": QUALITY, "part": part, "weight": weight} for part, weight in weights.items()
    ]
    length = pc.utf8_length(pool.samples["answer"]).cast(pa.float64())
    return ScoreTables(
        _score_parts(pool, values, percentiles),
        pa.Table.from_pylist(combined, schema=COMBINATIONS),
        correlate(values, length.to_numpy(zero_copy_only=False)),
    )


def _within_modality(pool: Pool) -> Groups:
    """Return the strata, cut by modality where they do not name it."""
    modality = strata_of(pool.samples, ["modality"])
    code = np.unique(pool.strata.code * len(modality.names) + modality.code, return_inverse=True)[1]
    return Groups(tuple(map(str, range(int(code.max(initial=-1)) + 1))), code.astype(np.int64))


def _score_parts(
    pool: Pool, values: Mapping[str, Doubles], percentiles: Mapping[str, Doubles]
) -> Iterator[pa.Table]:
    """Yield the table `scores`: one scorer after the other, each in the order of the pool."""
    for scorer, scores in values.items():
        for start in range(0, len(pool), ROWS_AT_A_TIME):
            rows = slice(start, min(start + ROWS_AT_A_TIME, len(pool)))
            columns = [
                pool.ids.slice(start, ROWS_AT_A_TIME),
                pa.repeat(pa.scalar(scorer, pa.string()), rows.stop - start),
                pa.array(scores[rows], from_pandas=True),
                pa.array(percentiles[scorer][rows], from_pandas=True),
                pool.strata.column(rows),
            ]
            yield pa.table(columns, schema=SCORES)


def combine(parts: Mapping[str, Doubles], weights: Mapping[str, float]) -> Doubles:
    """Return the weighted mean (n,) of the percentiles that a sample has; NaN where it has none.

    A part of negative weight counts by its size with 1 - percentile. Weights of the parts that
    are there make up the whole:

        sum |w| (p if w > 0 else 1 - p) / sum |w|
    """
    shape = next(iter(parts.values())).shape
    total, weight = np.zeros(shape), np.zeros(shape)
    for part, signed in weights.items():
        percentile = parts[part]
        known = ~np.isnan(percentile)
        good = percentile if signed > 0.0 else 1.0 - percentile
        total[known] += abs(signed) * good[known]
        weight[known] += abs(signed)
    mean: Doubles = np.divide(total, weight, out=np.full(shape, np.nan), where=weight > 0.0)
    return mean


def correlate(scores: Mapping[str, Doubles], length: Doubles) -> pa.Table:
    """Return the rank correlation of each score (n,) with the answers' length and each other."""
    columns = {**scores, LENGTH: length}
    rows = []
    for scorer, other in product(scores, columns):
        if scorer != other:
            rho, n = spearman(columns[scorer], columns[other])
            rows.append({"scorer": scorer, "other": other, "rho": rho, "n": n})
    return pa.Table.from_pylist(rows, schema=CORRELATIONS)


def spearman(values: Doubles, others: Doubles) -> tuple[float | None, int]:
    """Return Spearman's rho of the n pairs that have both values, and n; None for a constant.

    Pearson's correlation of the ranks, equal values sharing their mean rank (Spearman 1904).
    """
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    both = ~(np.isnan(values) | np.isnan(others))
    n = int(both.sum())
    if not n:
        return None, 0
    # Ranks from 1 to n have this mean, ties or none.
    a, b = rankdata(values[both]) - (n + 1) / 2.0, rankdata(others[both]) - (n + 1) / 2.0
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return (float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0.0 else None), n

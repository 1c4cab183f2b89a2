"""Scores of a pool as the manifest's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.pool import Pool
from curation.scoring import QUALITY, ScoresConfig
from curation.scoring.combine import combine
from curation.scoring.correlations import correlations
from curation.scoring.percentiles import percentiles
from medsift.arrays import Doubles
from medsift.errors import InputError
from medsift.manifest.schema import arrow_schema

SCORES: Final = arrow_schema("scores")
COMBINATIONS: Final = arrow_schema("combinations")


def score_tables(
    pool: Pool, values: Mapping[str, Doubles], config: ScoresConfig
) -> dict[str, pa.Table]:
    """Tables `scores`, `combinations` and `correlations` of scorers' values (n,).

    With weights, `quality` is one score more: the weighted mean of the percentiles, ranked like
    the others.

    Raises:
        InputError: a scorer gave other than one finite value, or NaN, for each sample.
    """
    for scorer, found in values.items():
        _check(scorer, found, len(pool))
    ranked = {scorer: percentiles(found, pool.strata) for scorer, found in values.items()}
    weights = signed_weights(config)
    if weights:
        quality = combine(ranked, weights)
        values = {**values, QUALITY: quality}
        ranked[QUALITY] = percentiles(quality, pool.strata)
    return {
        "scores": _scores(pool, values, ranked),
        "combinations": _combinations(weights),
        "correlations": correlations(values, _lengths(pool)),
    }


def signed_weights(config: ScoresConfig) -> dict[str, float]:
    """Weight of each part of `quality`, negative where a high score is bad; none weighs 0."""
    better: dict[str, bool] = {scorer.kind: scorer.higher_is_better for scorer in config.scorers}
    return {
        part: weight if better[part] else -weight
        for part, weight in config.weights.items()
        if weight > 0.0
    }


def _check(scorer: str, values: Doubles, n: int) -> None:
    if values.shape != (n,):
        raise InputError(
            f"scorer {scorer!r} gave {values.shape} values for {n} samples",
            code="score_invalid",
            scorer=scorer,
        )
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise InputError(
            f"scorer {scorer!r} gave {len(infinite)} infinite values, the first at sample "
            f"{infinite[0]}; NaN means a missing one",
            code="score_invalid",
            scorer=scorer,
        )


def _scores(pool: Pool, values: Mapping[str, Doubles], ranked: Mapping[str, Doubles]) -> pa.Table:
    ids = pool.samples["sample_id"].combine_chunks()
    strata = pa.array(pool.strata, pa.string())
    lines = [
        pa.table(
            [
                ids,
                pa.repeat(pa.scalar(scorer, pa.string()), len(pool)),
                pa.array(found, from_pandas=True),
                pa.array(ranked[scorer], from_pandas=True),
                strata,
            ],
            schema=SCORES,
        )
        for scorer, found in values.items()
    ]
    return pa.concat_tables(lines) if lines else SCORES.empty_table()


def _combinations(weights: Mapping[str, float]) -> pa.Table:
    lines = [
        {"scorer": QUALITY, "part": part, "weight": weight} for part, weight in weights.items()
    ]
    return pa.Table.from_pylist(lines, schema=COMBINATIONS)


def _lengths(pool: Pool) -> Doubles:
    """Characters (n,) of each answer, NaN where there is none."""
    lengths = pc.utf8_length(pool.samples["answer"]).cast(pa.float64())
    found: Doubles = lengths.to_numpy(zero_copy_only=False)
    return found

"""Selections as the manifest's tables `selections`, `selection_settings` and `curves`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa

from curation.selection.method import Candidates
from curation.selection.select import Selection
from medsift.manifest.schema import arrow_schema

SELECTIONS: Final = arrow_schema("selections", without=("created_at", "place"))
SETTINGS: Final = arrow_schema("selection_settings")
CURVES: Final = arrow_schema("curves")


def selection_table(selection: Selection, candidates: Candidates) -> pa.Table:
    """SELECTIONS: one line a selected sample, by rank."""
    samples = candidates.pool.samples.select(["sample_id", "row_id"])
    chosen = samples.take(pa.array(selection.order))
    strata = pa.array(candidates.pool.strata, pa.string()).take(pa.array(selection.order))
    return pa.Table.from_arrays(
        [
            pa.repeat(selection.config.name, len(selection.order)),
            pa.array(np.arange(len(selection.order))),
            chosen["sample_id"],
            chosen["row_id"],
            pa.array(selection.weight),
            pa.array(selection.gain, from_pandas=True),
            strata,
        ],
        schema=SELECTIONS,
    )


def settings_table(
    selection: Selection, pool: int, ordinal: int, created_at: datetime | None = None
) -> pa.Table:
    """SETTINGS: one line. `created_at` is UTC, without a zone; null represents the run's start."""
    objective = selection.objective
    line = {
        "selection": selection.config.name,
        "ordinal": ordinal,
        "created_at": created_at,
        "method": selection.config.method.kind,
        "budget": str(selection.config.budget),
        "settings": selection.config.model_dump_json(),
        "seed": selection.config.seed,
        "fingerprint": selection.fingerprint,
        "pool": pool,
        "selected": len(selection.order),
        "tokens": int(selection.tokens[selection.order].sum()),
        "objective": None if objective is None else float(objective[-1]),
        "coverage": float(selection.curve.coverage[-1]),
    }
    return pa.Table.from_pylist([line], schema=SETTINGS)


def curve_table(selection: Selection) -> pa.Table:
    """CURVES: one line a point of the curve."""
    last = selection.curve.size - 1
    objective = selection.objective
    return pa.Table.from_arrays(
        [
            pa.repeat(selection.config.name, len(last)),
            pa.array(selection.curve.size),
            pa.array(np.cumsum(selection.tokens[selection.order])[last]),
            pa.nulls(len(last), pa.float64()) if objective is None else pa.array(objective[last]),
            pa.array(selection.curve.coverage),
        ],
        schema=CURVES,
    )

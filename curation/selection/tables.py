"""Write selections as the manifest's tables `selections`, `selection_settings` and `curves`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
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
    """Return SELECTIONS: one row for each selected sample, by rank."""
    rows = pa.array(selection.order)
    samples = candidates.pool.samples.select(["sample_id", "row_id"]).take(rows)
    return pa.Table.from_arrays(
        [
            pa.repeat(selection.config.name, len(rows)),
            pa.array(np.arange(len(rows))),
            samples["sample_id"],
            samples["row_id"],
            pa.array(selection.weight),
            pa.array(selection.gain, from_pandas=True),
            candidates.strata.column(selection.order),
        ],
        schema=SELECTIONS,
    )


def settings_table(
    selection: Selection,
    pool: int,
    ordinal: int,
    created_at: datetime | None = None,
    reason: Mapping[str, str] = MappingProxyType({}),
) -> pa.Table:
    """Return SETTINGS: the one row of a selection.

    Args:
        selection: The selection that was made.
        pool: Number of samples that it was made from.
        ordinal: Its place among the run's selections.
        created_at: When it was made, in UTC without a zone; None is the run's start.
        reason: The columns `probe_id` and `explanation`, where a probe decided the size.
    """
    objective = selection.objective
    row = {
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
        **reason,
    }
    return pa.Table.from_pylist([row], schema=SETTINGS)


def curve_table(selection: Selection) -> pa.Table:
    """Return CURVES: one row for each point of the curve."""
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

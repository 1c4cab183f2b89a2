"""Order samples by priority: which one is kept when only one of two may stay."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from curation.sources.expressions import unrepeatable
from medsift.arrays import Indices
from medsift.errors import RecipeError, UsageError
from medsift.records import TAGS, digest


def survival_order(samples: pa.Table, priority: Sequence[str]) -> Indices:
    """Rows (n,) of a SAMPLES table, best first.

    By each SQL expression of `priority`, higher values first and null last; then by sample id,
    tags and row id, so that neither the order of rows nor the names of files decide which sample
    ids stay.

    Raises:
        UsageError: an expression that DuckDB cannot evaluate over the samples, or whose value
            depends on more than the row, such as random(): survivors would change between runs.
    """
    tags = [digest(*(str(line[tag]) for tag in TAGS)) for line in _tags(samples)]
    table = samples.append_column("__tags", pa.array(tags, pa.string()))
    table = table.append_column("__place", pa.array(np.arange(samples.num_rows), pa.int64()))
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("samples", table)
        for expression in priority:
            _check(connection, expression)
        terms = [f"({expression}) DESC NULLS LAST" for expression in priority]
        terms += ["sample_id", "__tags", "row_id"]
        found = connection.execute(f"SELECT __place FROM samples ORDER BY {', '.join(terms)}")
        order: Indices = found.fetchnumpy()["__place"].astype(np.int64)
    return order


def _tags(samples: pa.Table) -> list[dict[str, str | None]]:
    found: list[dict[str, str | None]] = samples.select(list(TAGS)).to_pylist()
    return found


def _check(connection: duckdb.DuckDBPyConnection, expression: str) -> None:
    try:
        connection.execute(f"SELECT count(({expression})) FROM samples")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"dedup.priority holds {expression!r}, which is no SQL expression over the columns of "
            f"samples: {reason}",
            code="priority_invalid",
        ) from error
    try:
        what = unrepeatable(expression)
    except RecipeError as error:
        raise UsageError(
            f"dedup.priority holds {expression!r}: {error}", code="priority_invalid"
        ) from error
    if what is not None:
        raise UsageError(
            f"dedup.priority holds {expression!r}, which uses {what!r}: its value would depend on "
            "more than the row, and who survives would change between runs; write an expression "
            "over one row",
            code="priority_invalid",
        )

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
    """Return the rows (n,) of a SAMPLES table, best first.

    They are ordered by each SQL expression of `priority`, higher values first and null last.

    Raises:
        UsageError: an expression that DuckDB cannot evaluate over the samples, or whose value
            depends on more than the row, such as random(): survivors would change between runs.
    """
    tags = [
        digest(*(str(row[tag]) for tag in TAGS)) for row in samples.select(list(TAGS)).to_pylist()
    ]
    table = samples.append_column("__tags", pa.array(tags, pa.string()))
    table = table.append_column("__place", pa.array(np.arange(samples.num_rows), pa.int64()))
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("samples", table)
        for expression in priority:
            try:
                connection.execute(f"SELECT count(({expression})) FROM samples")
                source = unrepeatable(expression)
            except (duckdb.Error, RecipeError) as error:
                reason = str(error).splitlines()[0]
                raise UsageError(
                    f"dedup.priority has {expression!r}, which is no SQL expression over the "
                    f"columns of samples: {reason}",
                    code="priority_invalid",
                    expression=expression,
                ) from error
            if source is not None:
                raise UsageError(
                    f"dedup.priority has {expression!r}, which uses {source!r}: its value depends "
                    "on more than the row, so survivors would change between runs; write an "
                    "expression over one row",
                    code="priority_invalid",
                    expression=expression,
                    uses=source,
                )
        terms = [f"({expression}) DESC NULLS LAST" for expression in priority]
        # Ties go by content before row ids, which come from file names: neither the order of rows
        # nor the names of files decide which sample ids stay.
        terms += ["sample_id", "__tags", "row_id"]
        ordered = connection.execute(f"SELECT __place FROM samples ORDER BY {', '.join(terms)}")
        order: Indices = ordered.fetchnumpy()["__place"].astype(np.int64)
    return order

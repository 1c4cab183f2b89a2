"""Drop the rows for which a SQL condition is true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from uuid import uuid4

import pyarrow as pa
from pydantic import Field

from curation.filters.row_filter import COLUMNS, Drop, RowFilter
from curation.sql_limits import BATCH_MEMORY, within_limits
from medsift import records
from medsift.errors import InputError, RecipeError


class SqlCondition(RowFilter):
    """Drop rows where `drop_where` is true; a condition that is null keeps the row."""

    kind: Literal["sql"] = "sql"
    drop_where: str = Field(min_length=1)
    """DuckDB expression over one sample's columns, for example ``length(answer) < 2``."""
    value: str = "NULL"
    """DuckDB expression whose number goes into the ledger, for example ``length(answer)``."""

    def fingerprint(self) -> list[str]:
        """Return both expressions. Raises RecipeError when they do not fit the columns."""
        self._run(records.SAMPLES.empty_table(), RecipeError)
        return [self.name, self.drop_where, self.value]

    def drops(self, samples: pa.Table) -> Mapping[int, Drop]:
        """Return the rows where the condition is true. Raises InputError when it fails on data."""
        matches = self._run(samples, InputError)
        detail = " ".join(self.drop_where.split())
        rows, values = (matches[name].to_pylist() for name in ("row", "value"))
        return {row: Drop(detail, value) for row, value in zip(rows, values, strict=True)}

    def _run(self, samples: pa.Table, kind: type[RecipeError | InputError]) -> pa.Table:
        import duckdb

        from medsift.manifest.connections import lock, start

        table = samples.select(COLUMNS)
        table = table.append_column("_row", pa.array(range(table.num_rows), pa.int64()))
        # A condition cannot guess this name, so that it cannot look at other rows.
        rows = f"rows_{uuid4().hex}"
        connection = start(memory_limit=f"{BATCH_MEMORY}B")

        def work() -> pa.Table:
            with connection:
                connection.register(rows, table)
                lock(connection)  # a condition reads its row and no file
                return connection.sql(
                    f"SELECT _row AS row, CAST(({self.value}) AS DOUBLE) AS value "
                    # In a WHERE clause DuckDB refuses windows, which would look at other rows.
                    f"FROM {rows} WHERE ({self.drop_where}) "
                    f"AND (({self.value}) IS NULL OR TRUE) ORDER BY _row"
                ).to_arrow_table()

        try:
            return within_limits(work, f"filter {self.name!r}")
        except duckdb.Error as error:
            words = f"filter {self.name!r}: {str(error).splitlines()[0]}"
            words += f"; the columns are {', '.join(COLUMNS)}"
            raise kind(words, code="filter_failed", filter=self.name) from error

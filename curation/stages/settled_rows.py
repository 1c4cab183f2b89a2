"""Take over what an earlier run decided about rows that nothing new touches.

Rows that may decide each other's fate make a group. A group is known by a digest of all that
decides it: its rows with their content, what its pictures were found to be, and the settings. Where
the run before has decided an equal group, its lines about these rows are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from curation.joins import files_sql
from curation.stage_outputs import OutputTable, StageOutputs
from medsift.arrays import Flags
from medsift.manifest.schema import quoted
from medsift.storage.parts import BATCH_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DECIDED: Final = pa.schema([pa.field("digest", pa.string(), nullable=False)])
"""The digests of the groups that a stage decided."""


def digest_sql(salt: str, value: str) -> str:
    """Return the SQL of the digest of a value, of any type, under some settings `salt`."""
    return f"left(sha256({quoted(salt)} || CAST(to_json({value}) AS VARCHAR)), 32)"


def write_query(db: DuckDBPyConnection, query: str, table: OutputTable) -> None:
    """Write the rows of a query as parts of a stage's table, a batch in memory at a time."""
    reader = db.sql(query).to_arrow_reader(BATCH_ROWS)
    batches = (pa.Table.from_batches([batch]) for batch in reader)
    table.write_all(part.select(table.schema.names).cast(table.schema) for part in batches)


def settled_rows(db: DuckDBPyConnection, earlier: StageOutputs | None) -> Flags:
    """Return which rows (n,) are of a group that the run before decided.

    Args:
        db: The engine, with tables `digests` (group_id, digest), and `grouped` (row, group_id) of
            all rows, numbered from 0.
        earlier: The stage of the run before, with its table `decided`; None without one.
    """
    files = [] if earlier is None else earlier.decided.parts()
    known = f"SELECT digest FROM {files_sql(files)}" if files else "SELECT NULL WHERE false"
    settled = db.execute(
        f"SELECT coalesce(digest IN ({known}), false) AS settled FROM grouped "
        "JOIN digests USING (group_id) ORDER BY row"
    ).fetchnumpy()["settled"]
    return settled.astype(bool)


def take_over(
    db: DuckDBPyConnection,
    earlier: StageOutputs,
    outputs: StageOutputs,
    conditions: Mapping[str, str],
    ordinal: int,
) -> None:
    """Copy lines of the run before to the tables of a stage, after the stage's stream has ended.

    Args:
        db: The engine, with what the conditions name.
        earlier: The stage of the run before.
        outputs: The stage.
        conditions: SQL of the lines of each table that are copied.
        ordinal: Of the part that is written of each table.
    """
    for name, condition in conditions.items():
        table = getattr(outputs, name)
        if files := getattr(earlier, name).parts():
            query = f"SELECT * FROM {files_sql(files)} WHERE {condition}"
            lines = db.sql(query).to_arrow_table().select(table.schema.names)
            table.write(lines.cast(table.schema), ordinal)

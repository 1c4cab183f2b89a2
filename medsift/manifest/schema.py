"""List the manifest's tables, and write them as Arrow schemas and SQL.

The DDL, the comments inside the file and `docs/manifest.md` all follow from `TABLES`. Column
names never change without raising `SCHEMA_VERSION` and adding a migration.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pyarrow as pa

from medsift.manifest.construct_tables import CONSTRUCT_TABLES
from medsift.manifest.evaluation_tables import EVALUATION_TABLES
from medsift.manifest.finding_tables import FINDING_TABLES
from medsift.manifest.improve_tables import IMPROVE_TABLES
from medsift.manifest.privacy_tables import PRIVACY_TABLES
from medsift.manifest.probe_tables import PROBE_TABLES
from medsift.manifest.rollout_tables import ROLLOUT_TABLES
from medsift.manifest.run_tables import OLDEST_VERSION, RUN_TABLES, SCHEMA_VERSION
from medsift.manifest.selection_tables import SELECTION_TABLES
from medsift.manifest.table import Table
from medsift.manifest.training_tables import TRAINING_TABLES
from medsift.manifest.withdrawal_tables import WITHDRAWAL_TABLES

__all__ = ["BY_NAME", "OLDEST_VERSION", "SCHEMA_VERSION", "TABLES", "arrow_schema", "identifier"]
__all__ += ["quoted", "table_ddl"]

TABLES: Final[tuple[Table, ...]] = (
    *RUN_TABLES,
    *FINDING_TABLES,
    *PRIVACY_TABLES,
    *SELECTION_TABLES,
    *PROBE_TABLES,
    *IMPROVE_TABLES,
    *CONSTRUCT_TABLES,
    *TRAINING_TABLES,
    *ROLLOUT_TABLES,
    *EVALUATION_TABLES,
    *WITHDRAWAL_TABLES,
)

BY_NAME: Final = {table.name: table for table in TABLES}


def arrow_schema(table: str, without: Collection[str] = ()) -> pa.Schema:
    """Return the Arrow schema of what fills a table, without some of its columns."""
    return BY_NAME[table].arrow_schema(without)


def table_ddl(table: Table) -> list[str]:
    """Return the statements that create a table in the current database and comment on it."""
    name = table.name
    columns = ["run_id VARCHAR NOT NULL"]
    columns += [f'"{column.name}" {column.type}' for column in table.columns]
    comments = [("run_id", "run it belongs to")]
    comments += [(column.name, column.meaning) for column in table.columns]
    return [
        f"CREATE TABLE {name} ({', '.join(columns)})",
        f"COMMENT ON TABLE {name} IS {quoted(table.meaning)}",
        *(f'COMMENT ON COLUMN {name}."{key}" IS {quoted(words)}' for key, words in comments),
    ]


def quoted(text: str) -> str:
    """Return text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as SQL, since somebody else's column may be named like a statement."""
    return '"' + name.replace('"', '""') + '"'

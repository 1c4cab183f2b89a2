"""Which rows an SQL expression fails on, found in one query an expression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from curation.sources.record_batches import Bad

SHOWN: Final = 80


def failing_rows(connection: Any, texts: Mapping[str, str]) -> dict[int, str]:
    """The rows of the table `batch` that an expression fails on, each with the first such target.

    `texts` are SQL by target. An expression that cannot be tried so, as one that fails while it is
    planned, finds no rows.
    """
    import duckdb

    found: dict[int, str] = {}
    for target, text in texts.items():
        # One expression a query: of several the engine computes a shared part outside of TRY.
        query = f"SELECT TRY(({text}\n) IS NULL) IS NULL AS failed FROM batch"
        try:
            failed = connection.sql(query).to_arrow_table()["failed"].to_pylist()
        except duckdb.Error:
            continue
        for row, bad in enumerate(failed):
            if bad:
                found.setdefault(row, target)
    return found


def mapping_fault(
    index: int, row: int, table: pa.Table, target: str, text: str, names: frozenset[str]
) -> Bad:
    """The ledger's view of a failed expression: its target and the values that it was given."""
    given = {name: table[name][row].as_py() for name in sorted(names)}
    values = ", ".join(f"{name} = {_short(value)}" for name, value in given.items())
    return Bad(index, "mapping_failed", f"columns.{target} = {text!r} fails on {values}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} letters)"

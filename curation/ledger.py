"""Check that no row is lost: each is kept, dropped or failed, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from medsift import records
from medsift.errors import LedgerError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Balance:
    """The fates of the rows that entered a stage, counted."""

    stage: str
    rows_in: int
    kept: int
    dropped: int
    failed: int


def measure(stage: str, rows_in: int, kept: int, decisions: pa.Table) -> Balance:
    """Return the balance of a stage from the rows it left and its decisions.

    Args:
        stage: Name of the stage.
        rows_in: Number of rows that entered it.
        kept: Number of rows that it left.
        decisions: Its decisions, whose column `action` tells dropped rows from failed ones.
    """
    counted = pc.value_counts(decisions["action"]).to_pylist()
    count = Counter({line["values"]: line["counts"] for line in counted})
    return Balance(stage, rows_in, kept, count[records.DROPPED], count[records.FAILED])


def check_stage(balance: Balance) -> None:
    """Raise LedgerError when a stage gained or lost rows."""
    if balance.rows_in != balance.kept + balance.dropped + balance.failed:
        message = (
            f"stage {balance.stage} is unbalanced: {balance.rows_in} rows in, but {balance.kept} "
            f"kept + {balance.dropped} dropped + {balance.failed} failed; please report this run"
        )
        raise LedgerError(message, code="ledger_unbalanced", stage=balance.stage)


def check_rows(db: DuckDBPyConnection, rows: str, kept: str, decisions: str) -> None:
    """Raise LedgerError unless every row id is kept or decided, once and not both.

    Args:
        db: An engine for tables larger than memory.
        rows: SQL of a table with the ids (column `row_id`) of the rows that were read.
        kept: That of the rows that are left.
        decisions: That of the rows that were dropped or failed.
    """
    fates = f"(SELECT row_id FROM {kept} UNION ALL SELECT row_id FROM {decisions})"
    _refuse_repeats(db, "read", rows)
    _refuse_repeats(db, "decided", fates)
    for problem, some, others in (
        ("have no fate", rows, fates),
        ("were never read", fates, rows),
    ):
        query = f"SELECT count(*), min(row_id) FROM {some} a ANTI JOIN {others} b USING (row_id)"
        [(count, first)] = db.execute(query).fetchall()
        if count:
            message = f"{count} rows {problem}, the first is {first!r}"
            raise LedgerError(message, code="ledger_unbalanced", row_id=first)


def check_tolerance(balances: Sequence[Balance], rows: int, tolerance: float) -> None:
    """Raise LedgerError when failed rows exceed `tolerance` (a share of all rows)."""
    failed = sum(balance.failed for balance in balances)
    if failed > tolerance * rows:
        message = (
            f"{failed} of {rows} rows failed ({failed / rows:.2%}), more than failures.tolerance "
            f"{tolerance:.2%} allows; see the view 'why', correct the rows or raise it"
        )
        raise LedgerError(message, code="failures_above_tolerance", failed=failed, rows=rows)


def _refuse_repeats(db: DuckDBPyConnection, verb: str, ids: str) -> None:
    repeats = db.execute(
        f"SELECT row_id, count(*) FROM {ids} i GROUP BY row_id HAVING count(*) > 1 "
        "ORDER BY 2 DESC, 1 LIMIT 1"
    ).fetchall()
    for row, count in repeats:
        message = f"row {row!r} was {verb} {count} times; rows have one fate"
        raise LedgerError(message, code="ledger_unbalanced", row_id=row)

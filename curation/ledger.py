"""Check that no row is lost: each is kept, dropped or failed, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from medsift import records
from medsift.errors import LedgerError


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
    count = Counter(decisions["action"].to_pylist())
    return Balance(stage, rows_in, kept, count[records.DROPPED], count[records.FAILED])


def check_stage(balance: Balance) -> None:
    """Raise LedgerError when a stage gained or lost rows."""
    if balance.rows_in != balance.kept + balance.dropped + balance.failed:
        message = (
            f"stage {balance.stage} is unbalanced: {balance.rows_in} rows in, but {balance.kept} "
            f"kept + {balance.dropped} dropped + {balance.failed} failed; please report this run"
        )
        raise LedgerError(message, code="ledger_unbalanced", stage=balance.stage)


def check_rows(rows: pa.Table, kept: pa.Table, decisions: pa.Table) -> None:
    """Raise LedgerError unless every row id is kept or decided, once and not both."""
    fates = pa.chunked_array(
        [*kept["row_id"].chunks, *decisions["row_id"].chunks], type=pa.string()
    )
    _refuse_repeats("read", rows["row_id"])
    _refuse_repeats("decided", fates)
    missing = rows.filter(pc.invert(pc.is_in(rows["row_id"], fates)))["row_id"]
    strange = pc.filter(fates, pc.invert(pc.is_in(fates, rows["row_id"].combine_chunks())))
    for problem, ids in (("have no fate", missing), ("were never read", strange)):
        if len(ids):
            message = f"{len(ids)} rows {problem}, the first is {ids[0].as_py()!r}"
            raise LedgerError(message, code="ledger_unbalanced", row_id=ids[0].as_py())


def check_tolerance(balances: Sequence[Balance], rows: int, tolerance: float) -> None:
    """Raise LedgerError when failed rows exceed `tolerance` (a share of all rows)."""
    failed = sum(balance.failed for balance in balances)
    if failed > tolerance * rows:
        message = (
            f"{failed} of {rows} rows failed ({failed / rows:.2%}), more than failures.tolerance "
            f"{tolerance:.2%} allows; see the view 'why', correct the rows or raise it"
        )
        raise LedgerError(message, code="failures_above_tolerance", failed=failed, rows=rows)


def _refuse_repeats(verb: str, ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() != len(ids):
        worst = max(pc.value_counts(ids).to_pylist(), key=lambda row: row["counts"])
        message = f"row {worst['values']!r} was {verb} {worst['counts']} times; rows have one fate"
        raise LedgerError(message, code="ledger_unbalanced", row_id=worst["values"])

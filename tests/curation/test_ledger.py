"""No row may be lost, invented or judged twice."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa
import pytest

from curation import ledger
from curation.ledger import Balance
from medsift import records
from medsift.manifest.connections import start
from tests.expect import raises_code

ROWS = pa.schema([("row_id", pa.string())])


def rows(*ids: str) -> pa.Table:
    return pa.table({"row_id": list(ids)}, schema=ROWS)


def dropped(*ids: str) -> pa.Table:
    return records.decisions([records.decision(row, "dedup", "dropped", "copy") for row in ids])


def check_rows(read: pa.Table, kept: pa.Table, decided: pa.Table) -> None:
    with closing(start()) as db:
        for name, table in (("read", read), ("kept", kept), ("decided", decided)):
            db.register(name, table)
        ledger.check_rows(db, "read", "kept", "decided")


def test_every_row_kept_or_decided_once_passes():
    check_rows(rows("a", "b", "c"), rows("a"), dropped("b", "c"))


@pytest.mark.parametrize(
    ("read", "kept", "decided", "row"),
    [
        (rows("a", "b"), rows("a"), dropped(), "b"),
        (rows("a"), rows("a"), dropped("z"), "z"),
        (rows("a", "b"), rows("a", "b"), dropped("a"), "a"),
        (rows("a", "a"), rows("a"), dropped(), "a"),
    ],
)
def test_a_lost_invented_or_twice_judged_row_is_refused(read, kept, decided, row):
    with raises_code("ledger_unbalanced", row_id=row):
        check_rows(read, kept, decided)


def test_a_stage_that_loses_a_row_is_named():
    with raises_code("ledger_unbalanced", stage="images"):
        ledger.check_stage(Balance("images", 3, 1, 1, 0))


@pytest.mark.parametrize(("failed", "allowed"), [(2, True), (3, False)])
def test_failures_count_against_the_tolerance(failed, allowed):
    balances = [Balance("ingest", 100, 100 - failed, 0, failed)]
    if allowed:
        ledger.check_tolerance(balances, 100, 0.02)
    else:
        with raises_code("failures_above_tolerance", failed=3, rows=100):
            ledger.check_tolerance(balances, 100, 0.02)

"""Declare the tables of withdrawals: how many rows left a run for good, and what had used them."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

WITHDRAWAL_TABLES: Final = tables("""
TABLE withdrawals ORDER BY created_at REPLACED BY withdrawal_id | one line per withdrawal of rows:
  how many, and digests of their ids; never what they said
withdrawal_id* VARCHAR | withdrawal
created_at TIMESTAMP | when it was asked for, UTC
kind* VARCHAR | how the rows were named: rows, sql or source
rows* BIGINT | rows withdrawn
images BIGINT | pictures that no other row used, and that left with them
from_run VARCHAR | run that had them; it is no longer in this file
digests VARCHAR[] | SHA-256 of the row ids, in order

TABLE withdrawal_uses ORDER BY withdrawal_id, kind, name REPLACED BY withdrawal_id | selections,
  exports, trainings and constructions that had withdrawn rows
withdrawal_id* VARCHAR | withdrawal
kind* VARCHAR | selection, export, training or construction
name* VARCHAR | selection, or id of the training or construction
path VARCHAR | where the export, the adapter or the new samples were written
rows BIGINT | withdrawn rows in it; null where its selection was replaced since, so that they
  cannot be counted
""")

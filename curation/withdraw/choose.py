"""Name the rows of a run that are to be withdrawn, and remember them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

from curation.run_dir import FinishedRun
from curation.withdraw.withdrawn import WITHDRAWN, keys_of, read_withdrawn, remember, row_key
from medsift.errors import UsageError
from medsift.manifest import query, read
from medsift.manifest.schema import quoted
from medsift.records import digest
from medsift.storage.run_lock import claimed

Kind = Literal["rows", "sql", "source"]


def rows_by_id(run: FinishedRun, ids: Sequence[str]) -> list[str]:
    """Return ids of rows of a run; those that are withdrawn already are left out.

    Raises:
        UsageError: the run has no such row.
    """
    sql = "SELECT row_id FROM rows WHERE run_id = $1"
    known = set(read(run.manifest, sql, [run.run_id])["row_id"].to_pylist())
    withdrawn = read_withdrawn(run.run_dir).rows
    unknown = [row for row in ids if row not in known and row_key(row) not in withdrawn]
    if unknown:
        message = (
            f"run {run.run_id} has no row {unknown[0]!r} ({len(unknown)} of {len(ids)} ids are "
            "unknown); row ids are source:file:index, see the table rows"
        )
        raise UsageError(message, code="row_unknown", row=unknown[0], unknown=len(unknown))
    return [row for row in dict.fromkeys(ids) if row in known]


def rows_by_sql(run: FinishedRun, condition: str) -> list[str]:
    """Return the rows of a run for which a condition over the columns of rows and samples is true.

    Raises:
        ManifestError: a mistake in the SQL.
    """
    sql = (
        "SELECT row_id FROM (SELECT r.*, s.* EXCLUDE (run_id, row_id, source, sample_id, notes) "
        "FROM rows r LEFT JOIN samples s ON s.run_id = r.run_id AND s.row_id = r.row_id "
        f"WHERE r.run_id = {quoted(run.run_id)}) WHERE ({condition}\n) ORDER BY row_id"
    )
    return list(query(run.manifest, sql)["row_id"].to_pylist())


def rows_by_source(run: FinishedRun, name: str) -> list[str]:
    """Return the rows of a source of a run.

    Raises:
        UsageError: the run has no such source.
    """
    known = [source.name for source in run.recipe.sources]
    if name not in known:
        message = f"run {run.run_id} has no source {name!r}; it has {', '.join(known)}"
        raise UsageError(message, code="source_unknown", source=name, known=known)
    sql = "SELECT row_id FROM rows WHERE run_id = $1 AND source = $2 ORDER BY row_id"
    return list(read(run.manifest, sql, [run.run_id, name])["row_id"].to_pylist())


def withdraw(run: FinishedRun, kind: Kind, row_ids: Sequence[str]) -> None:
    """Remember rows of a run as withdrawn; `curation.withdraw.finish` then takes them out.

    Raises:
        UsageError: no row would be left, or another process works in the run directory.
    """
    if not row_ids:
        return
    sql = "SELECT count(*) AS rows FROM rows WHERE run_id = $1"
    if read(run.manifest, sql, [run.run_id])["rows"][0].as_py() == len(row_ids):
        message = f"no row of {run.run_dir} would be left; delete that folder instead"
        raise UsageError(message, code="nothing_left", rows=len(row_ids))
    now = datetime.now(UTC).replace(tzinfo=None)
    common = {
        "withdrawal_id": digest(run.run_id, *sorted(row_ids))[:12],
        "kind": kind,
        "created_at": now,
        "from_run": run.run_id,
    }
    keys = keys_of(run.upstream.ingest.samples.read(), row_ids)
    lines = pa.Table.from_pylist([common | key for key in keys], schema=WITHDRAWN)
    with claimed(run.run_dir):
        remember(run.run_dir, lines)

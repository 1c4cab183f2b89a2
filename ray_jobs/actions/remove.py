"""Withdraw rows from a run as `medsift remove` and `ms.remove` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import UsageError
from medsift.progress import Listener
from ray_jobs.actions.curate import executor

if TYPE_CHECKING:
    from curation.withdraw.finish import Removed


def remove_quietly(
    run_dir: Path,
    listener: Listener,
    *,
    rows: Sequence[str] | None = None,
    sql: str | None = None,
    source: str | None = None,
    ray: bool | None = None,
) -> Removed | None:
    """Withdraw rows named in one way, or finish a withdrawal that was interrupted.

    Args:
        run_dir: The run directory.
        listener: Called with every event of the run that is made again.
        rows: Row ids.
        sql: A condition over the columns of the tables rows and samples.
        source: Every row of this source.
        ray: Run on Ray, or in this process; as the recipe of the run says when not given.

    Returns:
        What was done; None where there was no row to withdraw.

    Raises:
        UsageError: rows are named in several ways, or the run has no such row or source.
        MedSiftError: as `curation.withdraw.finish.finish`.
    """
    from curation.run_dir import open_run
    from curation.withdraw.choose import rows_by_id, rows_by_source, rows_by_sql, withdraw
    from curation.withdraw.finish import finish

    if sum(option is not None for option in (rows, sql, source)) > 1:
        message = "rows, sql and source exclude each other; give one of them"
        raise UsageError(message, code="option_invalid", option="rows, sql and source")
    run = open_run(run_dir)
    if rows is not None:
        withdraw(run, "rows", rows_by_id(run, rows))
    elif sql is not None:
        withdraw(run, "sql", rows_by_sql(run, sql))
    elif source is not None:
        withdraw(run, "source", rows_by_source(run, source))
    compute = run.recipe.compute
    with executor(compute.ray if ray is None else ray, compute.workers) as engine:
        return finish(run_dir, engine, listener)

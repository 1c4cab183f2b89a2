"""Define `medsift remove`, which withdraws rows from a run for good."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import LogJson, RayOrLocal, invalid
from ray_jobs.console import resumable


def remove(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")
    ],
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help="A file of row ids, one a line.")
    ] = None,
    sql: Annotated[
        str | None,
        typer.Option(
            "--sql", metavar="CONDITION", help="SQL over columns of the tables rows and samples."
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="Every row of a source.")
    ] = None,
    log_json: LogJson = False,
    ray: RayOrLocal = None,
) -> None:
    """Withdraw rows: the run is then as if it had never had them, but for the record of it.

    They leave tables, vectors, caches, stored pictures, selections and the report; survivors of
    duplicates are elected again. Older runs of the directory are removed, as they have the rows
    too. Stored replies of a teacher about them and samples constructed from them leave as well.
    Exports, trainings and constructions that had them are listed: delete or repeat those, and
    withdraw the samples from runs that were curated from a construction. A command that was
    interrupted is finished by `medsift remove RUN_DIR` alone.
    """
    from ray_jobs.actions.remove import remove_quietly
    from ray_jobs.progress_views import announced

    ids = None if rows is None else _lines(rows)
    with resumable(), announced(log_json) as listener:
        done = remove_quietly(run_dir, listener, rows=ids, sql=sql, source=source, ray=ray)
    if log_json:
        typer.echo(json.dumps({"event": "removed", **(asdict(done) if done else {"rows": 0})}))
        return
    typer.echo("no row to withdraw: nothing was changed" if done is None else str(done))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise invalid("--rows", f"{path} cannot be read: {error}; give a text file") from error
    return [line.strip() for line in lines if line.strip()]

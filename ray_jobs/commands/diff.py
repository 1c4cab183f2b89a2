"""Define `medsift diff`, which says which rows have another fate in another run or selection."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


def diff(
    first: RunPath,
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="[B]",
            help="Another run directory or manifest.",
            show_default="the same, its newest run with the one before",
        ),
    ] = None,
    run_a: Annotated[
        str | None,
        typer.Option("--run-a", help="Run of the first manifest.", show_default="the newest"),
    ] = None,
    run_b: Annotated[
        str | None,
        typer.Option("--run-b", help="Run of the second manifest.", show_default="the newest"),
    ] = None,
    selection_a: Annotated[
        str | None,
        typer.Option("--selection-a", help="Tell rows of this selection from other kept rows."),
    ] = None,
    selection_b: Annotated[
        str | None, typer.Option("--selection-b", help="The same, of the second run.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Rows that the table shows.")] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print counts and all rows as one JSON object.")
    ] = False,
) -> None:
    """Say which rows have another fate in another run or selection, and why.

    Counts by kind of change come first: new, gone, returned, lost, entered, left, other_reason and
    other_witness. Rows are compared by row id.
    """
    from curation.compare.difference import difference, difference_table, last_two_runs
    from medsift.manifest.fate_changes import Side
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.console import ignore_broken_pipe

    before = manifest_path(first)
    after = before if second is None else manifest_path(second)
    if second is None and not any((run_a, run_b, selection_a, selection_b)):
        run_a, run_b = last_two_runs(before)
    found = difference(
        Side(before, run_a or "", selection_a), Side(after, run_b or "", selection_b)
    )
    with ignore_broken_pipe():
        if as_json:
            typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            typer.echo(difference_table(found, limit, width), nl=False)

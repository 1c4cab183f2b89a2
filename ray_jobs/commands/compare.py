"""Define `medsift compare`, which shows two selections of a run side by side."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath, TableOrJson


def compare(
    run_dir: RunPath,
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a selection.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another selection.")],
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the comparison.")
    ] = TableOrJson.table,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id", help="Run of the manifest.", show_default="the newest that has both"
        ),
    ] = None,
) -> None:
    """Compare two selections: overlap, coverage, strata, scores, lengths, tokens and images."""
    from curation.compare import compare_selections, comparison_table
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.console import ignore_broken_pipe

    comparison = compare_selections(manifest_path(run_dir), (first, second), run_id)
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            typer.echo(json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False))
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            typer.echo(comparison_table(comparison, width), nl=False)

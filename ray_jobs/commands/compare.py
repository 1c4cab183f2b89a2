"""Define `medsift compare`, which shows two selections of a run side by side."""

from __future__ import annotations

import json
import shutil
import sys
from enum import StrEnum
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


class Format(StrEnum):
    """The formats of a comparison."""

    table = "table"
    json = "json"


def compare(
    run_dir: RunPath,
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a selection.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another selection.")],
    style: Annotated[
        Format, typer.Option("--format", help="Format of the comparison.")
    ] = Format.table,
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
    from ray_jobs.console import closed_pipe_is_fine

    found = compare_selections(manifest_path(run_dir), (first, second), run_id)
    with closed_pipe_is_fine():
        if style is Format.json:
            typer.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            typer.echo(comparison_table(found, width), nl=False)

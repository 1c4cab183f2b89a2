"""Define `medsift report`, which writes the HTML page of a run again from its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


def report(
    run_dir: RunPath,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HTML file to write.", show_default="RUN_DIR/report.html"
        ),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option("--run-id", help="Run of the manifest.", show_default="the newest")
    ] = None,
) -> None:
    """Write the report of a run, one HTML file that needs no network, and print its path."""
    from curation.report import write_report
    from medsift.storage.mirror import location
    from ray_jobs.cli_args import manifest_path

    manifest = manifest_path(run_dir)
    target = output if output is not None else manifest.parent / "report.html"
    typer.echo(location(write_report(manifest, run_id, target)))

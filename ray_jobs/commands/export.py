"""Define `medsift export`, which writes a selection in the layout of a training library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curation.exports import FORMATS
from ray_jobs.commands.options import RunPath


def export(
    run_dir: RunPath,
    style: Annotated[
        str,
        typer.Option(
            "--format",
            help=f"Layout: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File or folder to write.", show_default=False)
    ],
    selection: Annotated[
        str | None,
        typer.Option("--selection", help="Name of the selection.", show_default="the newest"),
    ] = None,
) -> None:
    """Write the selected samples for training, with Croissant metadata, and print how many."""
    from curation.exports.write_export import export as write
    from medsift.storage.mirror import location
    from ray_jobs.cli_args import manifest_path

    exported = write(manifest_path(run_dir), style, output, selection)
    typer.echo(
        f"{exported.rows:,} samples of selection {exported.selection!r} in {location(output)}"
    )

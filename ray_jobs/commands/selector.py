"""Define `medsift selector`, which trains the selector of the method `ofa` and writes its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


def selector(
    run_dir: RunPath,
    output: Annotated[
        Path, typer.Option("--output", help="File to write (.npz).", show_default=False)
    ],
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", min=2, help="Clusters to learn.", show_default="√ of the pool's size"
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of the clusters.", show_default="the run's"),
    ] = None,
) -> None:
    """Train the selector of method `ofa` on the newest run, for pools of the same encoder.

    Use it by `medsift select OTHER_RUN --method ofa --set selector=FILE`, or in a recipe by
    `method: {kind: ofa, selector: FILE}`.
    """
    from curation.write_selector import write_selector
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.console import shown

    trained = write_selector(manifest_path(run_dir).parent, output, clusters, seed)
    typer.echo(f"a selector of {len(trained.share)} clusters: {shown(output)}")

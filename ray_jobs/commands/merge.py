"""`medsift merge`: an adapter and its base as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The folder `result` that a training wrote.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FOLDER", help="New folder.", show_default=False),
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            min=0.0,
            help="Largest difference of logits, as a share of what the adapter changes.",
        ),
    ] = 0.05,
) -> None:
    """Merge an adapter into its base, and check that the merged model says the same.

    Processor, chat template, lineage and model card come along. Exit codes: 0 done, 2 bad usage,
    3 base or adapter not to be had, or logits that differ; nothing is left behind then.
    """
    from ray_jobs.console import shown
    from training.merge import merge

    done = merge(result, output, tolerance)
    typer.echo(f"model     {shown(done.folder)}, {done.dtype}")
    typer.echo(f"logits    off by {done.difference:.2g} of what the adapter changes")
    typer.echo(f"next      medsift evaluate --model {shown(done.folder)} --benchmark KIND=PATH")

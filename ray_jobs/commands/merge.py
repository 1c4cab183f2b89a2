"""Define `medsift merge`, which merges an adapter into its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="Folder `result` of a training.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="FOLDER", help="New folder for the model.", show_default=False
        ),
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            min=0.0,
            help="Largest allowed difference of logits, as a share of what the adapter changes.",
        ),
    ] = 0.05,
) -> None:
    """Merge an adapter into its base, and check that the merged model gives the same logits.

    Processor, chat template, lineage and model card are copied. Exit codes: 0 done, 2 bad usage,
    3 base or adapter unavailable, or logits that differ; then nothing is written.
    """
    from ray_jobs.console import shown
    from training.merge import merge

    merged = merge(result, output, tolerance)
    typer.echo(f"model     {shown(merged.folder)}, {merged.dtype}")
    typer.echo(f"logits    off by {merged.difference:.2g} of what the adapter changes")
    typer.echo(f"next      medsift evaluate --model {shown(merged.folder)} --benchmark KIND=PATH")

"""Define `medsift phantoms`, which draws synthetic data with planted defects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import Drawers, DrawSeed, ImageCount


def phantoms(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")],
    images: ImageCount = 400,
    seed: DrawSeed = 0,
    workers: Drawers = 1,
    wrong_answers: Annotated[
        int, typer.Option("--wrong-answers", min=0, help="Number of rows with a wrong answer.")
    ] = 0,
    mismatched: Annotated[
        int,
        typer.Option("--mismatched", min=0, help="Number of rows with another patient's picture."),
    ] = 0,
) -> None:
    """Draw CT, radiograph, MR and ultrasound phantoms with questions and known defects.

    `truth.parquet` in OUT lists what was planted: copies, leaks, contradictions, broken files.
    """
    from curation.phantoms import make_phantoms

    drawn = make_phantoms(
        out,
        images=images,
        seed=seed,
        workers=workers,
        wrong_answers=wrong_answers,
        mismatched=mismatched,
    )
    typer.echo(
        f"{drawn.rows:,} rows, {drawn.image_files:,} image files, "
        f"{drawn.planted:,} planted defects in {drawn.root}"
    )

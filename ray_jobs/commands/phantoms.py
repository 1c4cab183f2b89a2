"""`medsift phantoms`: synthetic radiology-like data with planted defects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def phantoms(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to fill.")],
    images: Annotated[int, typer.Option("--images", min=16, help="Base images to draw.")] = 400,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same bytes.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Drawing processes.")] = 1,
    wrong_answers: Annotated[
        int, typer.Option("--wrong-answers", min=0, help="Rows to give a wrong answer.")
    ] = 0,
    mismatched: Annotated[
        int, typer.Option("--mismatched", min=0, help="Rows to give another patient's picture.")
    ] = 0,
) -> None:
    """Draw CT, radiograph, MR and ultrasound phantoms with questions and known defects.

    `truth.parquet` in OUT says what was planted: copies, leaks, contradictions, broken files.
    """
    from curation.phantoms import make_phantoms

    made = make_phantoms(
        out,
        images=images,
        seed=seed,
        workers=workers,
        wrong_answers=wrong_answers,
        mismatched=mismatched,
    )
    typer.echo(
        f"{made.rows:,} rows, {made.image_files:,} image files, {made.planted:,} planted defects "
        f"in {made.root}"
    )

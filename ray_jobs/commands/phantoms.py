"""Define `medsift phantoms`, which draws synthetic data with planted defects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    copies: Annotated[
        int | None,
        typer.Option(
            "--copies",
            help="Times that each training row occurs, altered or reworded; 1 is no redundancy.",
            show_default=False,
        ),
    ] = None,
    wrong_share: Annotated[
        float | None,
        typer.Option(
            "--wrong-share",
            help="Share of training rows with a wrong answer, such as 0.1.",
            show_default=False,
        ),
    ] = None,
    imbalance: Annotated[
        float | None,
        typer.Option(
            "--imbalance",
            help="Largest cell of modality and task over the smallest, such as 20.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw CT, radiograph, MR and ultrasound phantoms with questions and known defects.

    `truth.parquet` in OUT lists what was planted: copies, leaks, contradictions, broken files.
    With `--copies`, `--wrong-share` or `--imbalance` the set has these alone, in its training
    split; its test split is balanced, right and without copies.
    """
    from curation.phantoms import PoolShape, make_phantoms

    given = {"copies": copies, "wrong_share": wrong_share, "imbalance": imbalance}
    shape: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    drawn = make_phantoms(
        out,
        images=images,
        seed=seed,
        workers=workers,
        wrong_answers=wrong_answers,
        mismatched=mismatched,
        shape=PoolShape(**shape) if shape else None,
    )
    typer.echo(
        f"{drawn.rows:,} rows, {drawn.image_files:,} image files, "
        f"{drawn.planted:,} planted defects in {drawn.root}"
    )

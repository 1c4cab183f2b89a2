"""Define `medsift doctor`, which checks the machine and names a fix for what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per finding.")
    ] = False,
    ray: Annotated[
        bool,
        typer.Option("--ray/--no-ray", help="Also join or start a Ray, which takes some seconds."),
    ] = True,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="RECIPE",
            help="Also check that this recipe's encoder can read the first texts of its sources.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Check versions, devices, FAISS, Ray, token, weights, disk and memory.

    Each line is OK, WARN or FAIL, with a fix. The exit status is 1 when one of them is FAIL.
    """
    from rich.console import Console
    from rich.text import Text

    from ray_jobs.doctor import examine
    from ray_jobs.readability import check_texts

    console = Console(highlight=False, soft_wrap=True, markup=False)
    failed = False
    of_recipe = [] if recipe is None else [check_texts(recipe)]
    for finding in chain(examine(Path.cwd(), start_ray=ray), of_recipe):
        failed = failed or finding.status == "FAIL"
        if as_json:
            typer.echo(json.dumps(asdict(finding)))
            continue
        line = Text().append(f"{finding.status:<5}", STYLES[finding.status])
        line.append(f"{finding.subject:<18}{finding.detail}")
        console.print(line)
        if finding.fix:
            console.print(Text(f"{'':<5}{'':<18}fix: {finding.fix}"))
    raise typer.Exit(1 if failed else 0)

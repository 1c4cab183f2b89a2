"""Declare the arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from medsift.errors import UsageError


def invalid(option: str, problem: str) -> UsageError:
    """Return the error of an option whose value is refused."""
    return UsageError(f"{option} {problem}", code="option_invalid", option=option)


class TableOrJson(StrEnum):
    """The formats of an answer for people and for programs."""

    table = "table"
    json = "json"


RecipeFile = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A YAML file, or the name of a recipe shipped with MedSift (phantoms, vqa_rad, …).",
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Change one setting of the recipe; repeatable.",
        show_default=False,
    ),
]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir", metavar="DIR", help="Folder of the run.", show_default="as the recipe says"
    ),
]
ADDRESS = typer.Option(
    "--address",
    metavar="URL",
    envvar="RAY_API_SERVER_ADDRESS",
    help="Dashboard of the head, for example http://HOST:8265.",
    show_default=False,
)
Address = Annotated[str, ADDRESS]
MaybeAddress = Annotated[str | None, ADDRESS]
RayOrLocal = Annotated[
    bool | None,
    typer.Option(
        "--ray/--local",
        help="Run on Ray (that of RAY_ADDRESS, or a local one), or in this process.",
        show_default="as the recipe says",
    ),
]
ImageCount = Annotated[int, typer.Option("--images", min=16, help="Number of base images to draw.")]
DrawSeed = Annotated[
    int, typer.Option("--seed", min=0, help="Seed: the same seed draws the same bytes.")
]
Drawers = Annotated[int, typer.Option("--workers", min=1, help="Processes that draw.")]
LogJson = Annotated[
    bool,
    typer.Option("--log-json", help="Write one JSON object per event to stdout, and nothing else."),
]
ManifestPath = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A manifest file or a run directory.")
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="A run directory, or its manifest file.")
]

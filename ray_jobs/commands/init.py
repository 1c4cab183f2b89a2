"""Define `medsift init`, which writes a first recipe by looking at the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    data: Annotated[
        Path, typer.Argument(help="A file of records, a tar, or a folder of either or of pictures.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Recipe to write.", show_default="NAME.yaml"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the run.", show_default="that of the data"),
    ] = None,
) -> None:
    """Write a first recipe by looking at a file or folder, and say what could not be guessed.

    Every guess is a line of the recipe with a value that was seen. Nothing is curated.
    """
    from curation.propose_recipe import EXPECTED, propose_recipe
    from medsift.errors import StorageError, UsageError

    proposed = propose_recipe(data, name)
    target = output or Path(f"{proposed.source.settings['name']}.yaml")
    if target.exists():
        raise UsageError(
            f"{target} exists already; name another file with --output, or remove it",
            code="recipe_in_the_way",
            path=str(target),
        )
    try:
        target.write_text(proposed.text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write {target}: {error.strerror}; name another file with --output",
            code="disk_refused",
            path=str(target),
        ) from error
    typer.echo(f"reader       {proposed.source.settings['reader']}")
    for one in proposed.source.found:
        typer.echo(f"{one.target:12} from {one.column}, for example {one.example}")
    for missing in proposed.source.missing:
        typer.echo(f"{missing:12} not found: {EXPECTED[missing]}")
    if proposed.source.unread:
        typer.echo(f"not read     {', '.join(proposed.source.unread)}")
    typer.echo(f"recipe       {target}")
    typer.echo(f"next         medsift curate {target}")

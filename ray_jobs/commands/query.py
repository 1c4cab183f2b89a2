"""Define `medsift query`, which answers SQL over a manifest, read-only."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import ManifestPath, invalid


class Format(StrEnum):
    """The formats of a result."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def query(
    manifest: ManifestPath,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    style: Annotated[Format, typer.Option("--format", help="Format of the result.")] = Format.table,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write to.", show_default="stdout")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option("--seconds", min=0.1, help="Stop the statement after this many seconds."),
    ] = 600.0,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            help="Memory for the statement, such as 4GB.",
            show_default="half of the memory",
        ),
    ] = None,
) -> None:
    """Query a manifest in SQL. It is opened read-only, and no other file can be read.

    Views: selected_samples, funnel, why, coverage, duplicates, conflicts, leaks, timings.
    """
    from medsift.manifest import query as answer
    from medsift.manifest import render
    from medsift.manifest.connections import half_of_memory
    from medsift.storage.atomic import atomic_file
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.console import ignore_broken_pipe, print_error
    from ray_jobs.memory import memory_ceiling, parse_bytes

    path = manifest_path(manifest)
    size = half_of_memory() if memory is None else parse_bytes(memory)
    if size is None:
        raise invalid("--memory", f"{memory!r} is no size; write a number and KB, MB, GB or TB")
    try:
        with memory_ceiling(size):
            table = answer(path, sql, f"{size}B", seconds)
    except KeyboardInterrupt:
        print_error("the statement was stopped", "interrupted")
        raise typer.Exit(130) from None
    if output is not None:
        with (
            atomic_file(output, "choose another --output", "output_unwritable") as partial,
            partial.open("wb") as file,
        ):
            render(table, style.value, file)
        return
    with ignore_broken_pipe():
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        render(table, style.value, sys.stdout.buffer, width)
        sys.stdout.buffer.flush()

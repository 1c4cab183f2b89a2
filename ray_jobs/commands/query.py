"""`medsift query`: SQL over a manifest, read-only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ray_jobs.commands.options import ManifestPath


class Format(StrEnum):
    """How a result is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def query(
    manifest: ManifestPath,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    style: Annotated[
        Format, typer.Option("--format", help="How the result is written.")
    ] = Format.table,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file.", show_default="stdout"),
    ] = None,
) -> None:
    """Ask a manifest in SQL. It is opened read-only, and no other file can be reached.

    Views: selected_samples, funnel, why, coverage, duplicates, conflicts, leaks, timings.
    """
    from curation.manifest import query as ask
    from curation.manifest import render
    from ray_jobs.console import closed_pipe_is_fine
    from ray_jobs.names import manifest_path

    table = ask(manifest_path(manifest), sql)
    if output is not None:
        with _created(output) as file:
            render(table, style.value, file)
        return
    with closed_pipe_is_fine():
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        render(table, style.value, sys.stdout.buffer, width)
        sys.stdout.buffer.flush()


@contextmanager
def _created(output: Path) -> Iterator[BinaryIO]:
    """A new file that appears under its name only once it is whole. Raises StorageError."""
    from curation.errors import StorageError

    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(output)
    except OSError as error:
        raise StorageError(
            f"cannot write {output}: {error.strerror}; choose another --output"
        ) from error
    finally:
        partial.unlink(missing_ok=True)

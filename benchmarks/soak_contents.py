"""Read all that a run or a training contains, without times, so that two can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

TIMES: Final = (
    *("created_at", "finished_at", "seconds", "samples_per_second", "tokens_per_second"),
    *("data_wait", "peak_memory_mb", "memory", "mfu", "reused", "recipe"),
)
"""Columns that say when, how fast and with how much memory something was made; a recipe says also
where it was run."""
Contents = Mapping[str, Any]


def run_contents(run_dir: Path) -> Contents:
    """Return the tables of a manifest as sorted rows, and the digest of every file of a stage.

    What a killed command left behind, under a name that says that it is unfinished, counts too.
    """
    found: dict[str, Any] = tables(run_dir / "manifest.duckdb")
    stages = run_dir / "stages"
    for path in sorted(stages.rglob("*.parquet")):
        found[str(path.relative_to(run_dir))] = digest(path)
    found["left behind"] = sorted(str(path) for path in run_dir.rglob("*.partial*"))
    return found


def training_contents(run_dir: Path) -> Contents:
    """Return the trainings of a manifest and their curves, and the digests of all weights."""
    found: dict[str, Any] = {
        name: rows
        for name, rows in tables(run_dir / "manifest.duckdb").items()
        if name.startswith("training")
    }
    for path in sorted(run_dir.glob("trainings/*/result/*.safetensors")):
        found[str(path.relative_to(run_dir))] = digest(path)
    assert len(found) > 1, "a training has weights"
    return found


def tables(manifest: Path) -> dict[str, Any]:
    """Return every table of a manifest as sorted rows, without times."""
    with duckdb.connect(str(manifest), read_only=True) as con:
        names = con.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_type = 'BASE TABLE' AND table_schema = 'main'"
        ).fetchall()
        return {name: _rows(con, name) for (name,) in names if name != "operators"}


def _rows(con: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    described = con.execute(f'DESCRIBE "{name}"').fetchall()
    columns = [column for column, *_ in described if column not in TIMES]
    listed = ", ".join(f'"{column}"' for column in columns)
    found = con.execute(f'SELECT {listed} FROM "{name}"').fetchall()
    return sorted(json.dumps(row, default=repr) for row in found)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(found: Contents, expected: Contents) -> list[str]:
    """Return the names of what only one of two has, or both differently."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))

"""Pools whose rows are files of their own, and the content of a run without what names it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow.parquet as pq

from curation.add_selection import parse_selection
from curation.phantoms import PhantomSet
from curation.recipe import Recipe, parse_recipe

RECIPE: Final = """
name: pool
sources:
  - {{name: p, reader: table, path: {rows}, image_root: {images}, columns: {{images: image}}}}
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.5}}
compute: {{images_per_batch: 16, rows_per_batch: 50}}
scores:
  scorers: [{{kind: density}}, {{kind: rarity}}, {{kind: text_quality}}, {{kind: image_quality}}]
selections:
  - {{name: third, method: {{kind: facility_location}}, budget: {{fraction: 0.3}}}}
"""
ADDED: Final = parse_selection({"name": "added", "budget": "40%", "method": {"kind": "k_center"}})
"""A selection that is added to a finished run."""
NAMES: Final = ("run_id", "created_at", "place", "fingerprint", "seconds", "reused", "probe_id")
"""Columns that name a run, or say when and where it was made, not what it contains."""
TABLES: Final[Mapping[str, str]] = {
    "rows": "",
    "samples": "",
    "images": "",
    "decisions": "",
    "clusters": "",
    "conflicts_found": "",
    "leaks_found": "",
    "sweep": "",
    "scores": "",
    "strata": "",
    "selections": "",
    "selection_settings": "",
    "curves": "",
    "stages": "",
    "measures": "WHERE name NOT LIKE 'withdrawn rows%'",
}


def split_rows(phantoms: PhantomSet, folder: Path, rows: int) -> list[Path]:
    """Write `rows` rows of a set, each planted one with its original, to a file of its own.

    The id of a row then stays when others come or go.
    """
    folder.mkdir(parents=True)
    truth = pq.read_table(phantoms.truth).to_pylist()
    planted = [row[name] for row in truth for name in ("row_index", "original_row_index")]
    lines = phantoms.samples.read_text(encoding="utf-8").splitlines()
    order = dict.fromkeys([row for row in planted if row is not None] + list(range(len(lines))))
    files = []
    for number in list(order)[:rows]:
        files.append(folder / f"{number:04d}.jsonl")
        files[-1].write_text(lines[number] + "\n", encoding="utf-8")
    return sorted(files)


def copy_rows(files: Iterable[Path], folder: Path) -> Path:
    """Copy some of the files to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)
    return folder


def recipe_of(rows: Path, phantoms: PhantomSet, cache: Path, *overrides: str) -> Recipe:
    """Return the recipe of a folder of rows."""
    text = RECIPE.format(rows=rows, images=phantoms.images, cache=cache)
    return parse_recipe(text, overrides)


def contents(manifest: Path, run_id: str | None = None) -> dict[str, list[Any]]:
    """Return every table of the newest run, its lines sorted, without what only names the run."""
    with duckdb.connect(str(manifest), read_only=True) as con:
        newest = "SELECT run_id FROM runs ORDER BY created_at DESC, run_id DESC LIMIT 1"
        run = run_id or con.execute(newest).fetchall()[0][0]
        return {name: _lines(con, name, run, where) for name, where in TABLES.items()}


def _lines(con: duckdb.DuckDBPyConnection, table: str, run: str, where: str) -> list[Any]:
    known = [line[0] for line in con.execute(f"DESCRIBE {table}").fetchall()]
    columns = ", ".join(f'"{name}"' for name in known if name not in NAMES)
    own = f"{where} AND" if where else "WHERE"
    lines = con.execute(f"SELECT {columns} FROM {table} {own} run_id = ?", [run]).fetchall()
    return sorted(map(repr, lines))

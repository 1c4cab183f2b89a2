"""Ask a manifest what fine-tuning needs: samples, images, leaks, and how a training scored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from medsift.manifest.reading import read, reading
from medsift.manifest.selected_rows import sample_columns
from medsift.vocabulary import stored_names


def selection_weights(manifest: Path, run_id: str, selection: str) -> pa.Table:
    """Return `sample_id`, `row_id` and `weight` of a selection, in rank order."""
    return read(
        manifest,
        "SELECT sample_id, row_id, weight FROM selections "
        "WHERE run_id = $1 AND selection = $2 ORDER BY rank",
        [run_id, selection],
    )


def licences_of_selection(manifest: Path, run_id: str, selection: str) -> dict[str | None, int]:
    """Return how many samples of a selection have each licence, None for none, sorted."""
    lines = read(
        manifest,
        "SELECT p.license, count(*) AS samples "
        "FROM selections s JOIN samples p ON s.place = p.place "
        "WHERE s.run_id = $1 AND s.selection = $2 GROUP BY ALL ORDER BY p.license NULLS LAST",
        [run_id, selection],
    )
    return dict(zip(lines["license"].to_pylist(), lines["samples"].to_pylist(), strict=True))


def run_recipe(manifest: Path, run_id: str) -> str | None:
    """Return the recipe of a run, JSON."""
    sql = "SELECT recipe FROM runs WHERE run_id = $1"
    [line] = read(manifest, sql, [run_id]).to_pylist()
    return str(line["recipe"]) if line["recipe"] else None


def samples_of_split(manifest: Path, run_id: str, split: str, columns: Sequence[str]) -> pa.Table:
    """Return columns of the samples of a split that curation kept, by row id.

    Args:
        manifest: the DuckDB file.
        run_id: the run.
        split: its name; `validation` also finds the `val` of older runs.
        columns: of the table `samples`.
    """
    with reading(manifest) as con:
        return con.sql(
            f"SELECT {', '.join(sample_columns(con, columns))} FROM samples p "
            "JOIN rows r ON r.run_id = p.run_id AND r.row_id = p.row_id "
            "WHERE p.run_id = $1 AND list_contains($2, p.split) "
            "AND r.action = 'kept' ORDER BY p.row_id",
            params=[run_id, list(stored_names(split))],
        ).to_arrow_table()


def image_sizes(manifest: Path, run_id: str) -> pa.Table:
    """Return size and group of each image; an image without copies is its own group."""
    return read(
        manifest,
        "SELECT image_id, width, height, coalesce(group_id, image_id) AS group_id "
        "FROM images WHERE run_id = $1",
        [run_id],
    )


def run_fingerprints(manifest: Path, run_id: str) -> tuple[str | None, str | None]:
    """Return the fingerprints of a run's recipe and of its input."""
    sql = "SELECT recipe_fingerprint, input_fingerprint FROM runs WHERE run_id = $1"
    [row] = read(manifest, sql, [run_id]).to_pylist()
    return row["recipe_fingerprint"], row["input_fingerprint"]


def split_names(manifest: Path, run_id: str) -> list[str]:
    """Return the splits that a run's samples have."""
    sql = "SELECT DISTINCT split FROM samples WHERE run_id = $1 AND split NOT NULL"
    return sorted(read(manifest, sql, [run_id])["split"].to_pylist())


def compared_benchmarks(manifest: Path, run_id: str) -> list[str]:
    """Return the benchmarks that a run's samples were compared with, as its recipe names them."""
    row = read(manifest, "SELECT recipe FROM runs WHERE run_id = $1", [run_id])
    recipe: dict[str, Any] = json.loads(row["recipe"][0].as_py() or "{}")
    return [entry["name"] for entry in recipe.get("decontaminate", {}).get("benchmarks", [])]


def selected_leaks(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> list[dict[str, Any]]:
    """Return `row_id`, `verdict` and `item_id` of selected rows near a benchmark, nearest first.

    Args:
        manifest: the DuckDB file.
        run_id: the run.
        selection: its name in the run.
        benchmark: its name, or ``split:NAME`` for a split of the run itself.
    """
    sql = (
        "SELECT row_id, verdict, item_id FROM leaks "
        "WHERE run_id = $run AND benchmark = $benchmark AND row_id IN "
        "(SELECT row_id FROM selections WHERE run_id = $run AND selection = $selection) "
        "ORDER BY similarity DESC NULLS LAST, row_id, item_id"
    )
    bound = {"run": run_id, "benchmark": benchmark, "selection": selection}
    return list(read(manifest, sql, bound).to_pylist())


def newest_accuracies(manifest: Path, training_id: str) -> list[dict[str, Any]]:
    """Return a training's accuracy on each benchmark, from the newest evaluation of each."""
    sql = (
        "SELECT e.benchmark, m.protocol, m.value, m.low, m.high, m.n, m.clusters, m.unparsed_rate "
        "FROM evaluations e JOIN metrics m USING (run_id, evaluation_id, benchmark) "
        "WHERE e.training_id = $1 AND m.variant = 'original' "
        "AND m.facet = 'all' AND m.metric = 'accuracy' "
        "QUALIFY row_number() OVER (PARTITION BY e.benchmark ORDER BY e.created_at DESC) = 1 "
        "ORDER BY e.benchmark"
    )
    return list(read(manifest, sql, [training_id]).to_pylist())

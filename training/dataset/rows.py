"""Read a manifest for training, as Arrow tables: rows to learn from, rows to measure on.

A worker far from the manifest is handed the same tables as Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from medsift.manifest import read, selected_batches
from medsift.vocabulary import stored_names
from training.recipe import MIXED_BY

BATCH_ROWS: Final = 10_000
_WANTED: Final = ("sample_id", "row_id", "messages", "images", *MIXED_BY)

ROWS: Final = pa.schema(
    [
        ("held_out", pa.bool_()),
        ("sample_id", pa.string()),
        ("row_id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        (
            "images",
            pa.list_(
                pa.struct(
                    [
                        ("image_id", pa.string()),
                        ("ref", pa.string()),
                        ("width", pa.int64()),
                        ("height", pa.int64()),
                        ("group_id", pa.string()),
                    ]
                )
            ),
        ),
        ("weight", pa.float64()),
        *((tag, pa.string()) for tag in MIXED_BY),
    ]
)
"""`group_id` is the group of confirmed copies that a picture is of, or else its own id."""

Images = Mapping[str, Mapping[str, Any]]


def read_rows(
    manifest: Path, run_id: str, selection: str, split: str | None = None
) -> Iterator[pa.Table]:
    """Tables of `ROWS`: a selection in rank order, then, held out, what survived of a split.

    Raises ManifestError.
    """
    images = _images(manifest, run_id)
    for table in selected_batches(manifest, selection, run_id, BATCH_ROWS):
        yield _rows(table, images, held_out=False)
    if split is not None:
        yield _rows(_of_split(manifest, run_id, split), images, held_out=True)


def _of_split(manifest: Path, run_id: str, split: str) -> pa.Table:
    return read(
        manifest,
        f"SELECT {', '.join(f'p.{name}' for name in _WANTED)} FROM samples p "
        "JOIN rows r ON r.run_id = p.run_id AND r.row_id = p.row_id "
        "WHERE p.run_id = $1 AND list_contains($2, p.split) "
        "AND r.action = 'kept' ORDER BY p.row_id",
        [run_id, list(stored_names(split))],
    )


def _images(manifest: Path, run_id: str) -> Images:
    """Size and copy group of every picture of a run."""
    table = read(
        manifest,
        "SELECT image_id, width, height, coalesce(group_id, image_id) AS group_id "
        "FROM images WHERE run_id = $1",
        [run_id],
    )
    return {line["image_id"]: line for line in table.to_pylist()}


def _rows(table: pa.Table, images: Images, *, held_out: bool) -> pa.Table:
    """The columns that are wanted, each picture with its size and group."""
    lines = []
    for line in table.to_pylist():
        shown = [{**one, **images[one["image_id"]]} for one in line["images"] or ()]
        lines.append({**line, "held_out": held_out, "images": shown})
    return pa.Table.from_pylist(lines, schema=ROWS)

"""Read a manifest for training, as Arrow tables: rows to learn from, rows to measure on.

A worker far from the manifest reads the same tables from Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from medsift.manifest import selected_batches
from medsift.manifest.training_queries import image_sizes, samples_of_split
from training.recipe import MIXED_BY

_IMAGE: Final = pa.struct(
    [
        ("image_id", pa.string()),
        ("ref", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("group_id", pa.string()),
    ]
)
ROWS: Final = pa.schema(
    [
        ("held_out", pa.bool_()),
        ("sample_id", pa.string()),
        ("row_id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(_IMAGE)),
        ("weight", pa.float64()),
        *((tag, pa.string()) for tag in MIXED_BY),
    ]
)
"""`group_id` is the group of confirmed copies that an image is in, or else the image's own id."""


def read_rows(
    manifest: Path, run_id: str, selection: str, split: str | None = None
) -> Iterator[pa.Table]:
    """Yield tables of `ROWS`: a selection in rank order, then the held-out samples of a split.

    Args:
        manifest: the manifest file.
        run_id: the run of the selection.
        selection: what is learned from.
        split: what is held out; None holds nothing out.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    # A picture is stored once for all its questions, so its size is looked up, not joined.
    images = {row["image_id"]: row for row in image_sizes(manifest, run_id).to_pylist()}

    def with_sizes(table: pa.Table, held_out: bool) -> pa.Table:
        rows: list[dict[str, Any]] = table.to_pylist()
        for row in rows:
            row["held_out"] = held_out
            row["images"] = [image | images[image["image_id"]] for image in row["images"] or ()]
        return pa.Table.from_pylist(rows, schema=ROWS)

    for table in selected_batches(manifest, selection, run_id):
        yield with_sizes(table, held_out=False)
    if split is not None:
        columns = ("sample_id", "row_id", "messages", "images", *MIXED_BY)
        yield with_sizes(samples_of_split(manifest, run_id, split, columns), held_out=True)

"""Write one row and one vector for every distinct picture, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.joins import files_sql, read_tables_of
from medsift.manifest.schema import arrow_schema
from medsift.records import IMAGES
from medsift.storage.parts import read_part, write_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

IMAGES_PER_PART: Final = 1 << 14
"""Rows of a part of `images`: 64 MiB of miniatures."""


def write_images(
    db: DuckDBPyConnection, inspected: Sequence[Path], images: Path, vectors: Path
) -> None:
    """Write the facts of every picture, sorted by image id, and the vectors.

    Files of equal pixels have one image id; the first content represents them.

    Args:
        db: An engine for tables larger than memory.
        inspected: Parts of facts, content id and vector, sorted by content id, at least one.
        images: The folder of the facts (``IMAGES``).
        vectors: The folder of the vectors.

    Raises:
        StorageError: the disk refuses, or a part is damaged.
    """
    source = files_sql(inspected)
    db.execute(
        "CREATE TABLE firsts AS SELECT min(content_id) AS content_id "
        f"FROM {source} WHERE image_id IS NOT NULL GROUP BY image_id"
    )
    columns = ", ".join(f'i."{name}"' for name in IMAGES.names)
    query = f"SELECT {columns} FROM {source} i JOIN firsts USING (content_id) ORDER BY i.image_id"
    number = -1
    for number, table in enumerate(read_tables_of(db, query, IMAGES_PER_PART)):
        write_table(table.cast(IMAGES), _part(images, number))
    if number < 0:
        write_table(IMAGES.empty_table(), _part(images, 0))
    for part in inspected:
        table = read_part(part, ["content_id", "image_id", "vector"])
        ends = pc.min_max(table["content_id"]).as_py()
        chosen = db.sql(
            "SELECT content_id FROM firsts WHERE content_id BETWEEN $1 AND $2",
            params=[ends["min"], ends["max"]],
        ).to_arrow_table()
        table = table.filter(pc.is_in(table["content_id"], chosen["content_id"].combine_chunks()))
        own = table.select(["image_id", "vector"]).rename_columns(["content_id", "vector"])
        write_table(own, vectors / part.name)


def picture_findings(db: DuckDBPyConnection, inspected: Sequence[Path]) -> pa.Table:
    """Return what was found in pictures, as the manifest's `privacy_findings`."""
    sides = ", ".join(f"found.{side} AS {side}" for side in ("x", "y", "width", "height"))
    return (
        db.sql(
            "SELECT DISTINCT 'picture' AS place, NULL::VARCHAR AS row_id, image_id, "
            "found.kind AS kind, "
            "found.action AS action, NULL::BIGINT AS start, NULL::BIGINT AS length, "
            f"{sides} FROM (SELECT image_id, unnest(found) AS found FROM {files_sql(inspected)}) "
            "ORDER BY ALL"
        )
        .to_arrow_table()
        .cast(arrow_schema("privacy_findings"))
    )


def masked_images(db: DuckDBPyConnection, inspected: Sequence[Path]) -> pa.Table:
    """Return the pictures that were changed, as the manifest's `masked_images`."""
    return (
        db.sql(
            "SELECT image_id, min(original_id) AS original_id, max(painted) AS painted, "
            "max(readings) AS readings, max(verdict) AS verdict "
            f"FROM {files_sql(inspected)} WHERE original_id IS NOT NULL "
            "AND image_id IS NOT NULL GROUP BY image_id ORDER BY image_id"
        )
        .to_arrow_table()
        .cast(arrow_schema("masked_images"))
    )


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}.parquet"

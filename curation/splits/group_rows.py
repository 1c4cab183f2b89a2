"""Group rows of any number that no split may separate, by joins on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from medsift.arrays import Indices
from medsift.connected import connected_components
from medsift.leakage_groups import LEVELS, SERIES, TAG_OF_LEVEL, Level

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_PICTURES: Final = (
    "SELECT row, coalesce(group_id, image_id) AS key FROM "
    "(SELECT row, unnest(images) AS image_id FROM rows) LEFT JOIN copies USING (image_id)"
)


def group_rows(db: DuckDBPyConnection, copies: pa.Table, level: Level) -> Indices:
    """Label rows (n,) as `medsift.leakage_groups.components` does, without holding what they say.

    Args:
        db: An engine with the tables `rows` (row, source, images, series_id, study_id, patient_id),
            numbered from 0, and `words` (row, question): a digest of the words of each row without
            a picture.
        copies: The group of each picture (image_id, group_id).
        level: What connects rows.
    """
    tags = [SERIES, *(TAG_OF_LEVEL[wider] for wider in LEVELS[1 : LEVELS.index(level) + 1])]
    # Each source numbers its own ids: two sources may use one for two patients.
    of_tags = [f"SELECT row, (source, {tag}) AS key FROM rows WHERE {tag} <> ''" for tag in tags]
    db.register("copies", copies)
    links = [
        db.execute(
            f"WITH keyed AS ({keyed}) SELECT row, first FROM keyed JOIN (SELECT key, "
            "min(row) AS first FROM keyed GROUP BY key HAVING count(*) > 1) USING (key) "
            "WHERE row <> first"
        ).fetchnumpy()
        for keyed in (_PICTURES, "SELECT row, question AS key FROM words", *of_tags)
    ]
    db.unregister("copies")
    [(count,)] = db.execute("SELECT count(*) FROM rows").fetchall()
    # A link to the first row of each key is enough, as links chain.
    left, right = (
        np.concatenate([link[name] for link in links]).astype(np.int64) for name in ("row", "first")
    )
    return connected_components(count, left, right)

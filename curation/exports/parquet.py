"""`parquet`: one file with the columns of the view `selected_samples`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.exports.base import ExportFormat
from curation.exports.croissant import table_fields
from curation.exports.lineage import Lineage


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage) -> int:
    """Write one row group a batch; return the number of rows."""
    import pyarrow.parquet as pq

    first = next(batches)
    rows = 0
    with pq.ParquetWriter(target, first.schema, compression="zstd") as writer:
        for batch in itertools.chain([first], batches):
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


FORMAT: Final = ExportFormat(
    "parquet",
    folder=False,
    write=write,
    media_type="application/x-parquet",
    fields=table_fields,
)

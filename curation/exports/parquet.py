"""Write the format `parquet`: one file with the columns of the view `selected_samples`.

Pictures are referred to as in the run: a trainer that reads them must decode them as the run did.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.exports.croissant import table_fields
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write a row group for each batch; return the number of rows.

    Args:
        batches: The selection; at least one batch, which may be empty.
        target: The file to write.
        lineage: Not used by this format.
        pictures: Not used: pictures are not read.
    """
    import pyarrow.parquet as pq

    first = next(batches)
    rows = 0
    with pq.ParquetWriter(target, first.schema, compression="zstd") as writer:
        for batch in itertools.chain([first], batches):
            writer.write_table(batch)
            rows += batch.num_rows
    return rows


FORMAT: Final = ExportFormat(
    "parquet", folder=False, write=write, media_type="application/x-parquet", fields=table_fields
)

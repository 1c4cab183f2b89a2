"""Sort the samples that may be trained on, in a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import uuid4

import pyarrow as pa

from curation.current_samples import PLACE, current_sql, with_texts
from curation.joins import joining
from curation.mapped import TEXTS, scratch_folder
from curation.stage_outputs import Upstream
from medsift import records
from medsift.storage.scratch import scratch_table

BATCH_ROWS: Final = 4096
"""Most rows of a chunk, of some 64 MiB."""


def sorted_training_samples(upstream: Upstream, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the samples that may be trained on, by sample id and then by row id.

    The table is mapped from a file: it takes memory only where it is read, and should be read in
    slices. Held-out splits are left out: nothing that decides what to train on may look at them.

    Args:
        upstream: The finished stages (`images` and later ones).
        columns: Columns of ``SAMPLES``; all when not given.

    Raises:
        StorageError: the disk refuses.
    """
    names = records.SAMPLES.names if columns is None else list(columns)
    schema = pa.schema([records.SAMPLES.field(name) for name in names])
    if not next(iter(upstream.values())).samples.parts():
        return schema.empty_table()
    short = [name for name in names if name not in TEXTS.names]
    needed = list(dict.fromkeys([*short, "split", "sample_id", "row_id", PLACE]))
    query = (
        f"SELECT * FROM ({current_sql(upstream, needed)}) "
        "WHERE coalesce(split, 'train') = 'train' "
        "ORDER BY sample_id NULLS LAST, row_id NULLS LAST"
    )
    folder = scratch_folder(upstream.images)
    with joining(folder / f"sorting-{uuid4().hex}") as db:
        return scratch_table(with_texts(db, upstream, query, names, BATCH_ROWS), schema, folder)

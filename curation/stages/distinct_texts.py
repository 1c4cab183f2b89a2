"""List every distinct text of a pool once, on disk, by the id of its content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import PLACE, current_sql, with_texts
from curation.joins import files_sql, joining, place_sql
from curation.stages.stage import StageContext
from curation.stages.work_files import WorkFile, WorkFolder, rows_per_part
from medsift import records
from medsift.execution import LocalExecutor, Tables
from medsift.storage.mapped_rows import scratch_rows
from medsift.storage.parts import parts, read_batches

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TEXTS: Final = pa.schema([pa.field("content_id", pa.string()), pa.field("text", pa.string())])
SAID: Final = ["messages", "question", "answer"]
IDENTIFIED_ROWS: Final = 4_096
"""Samples at most, of some 64 MiB of texts, of which a process has the texts at a time."""
VECTOR_BYTES: Final = 4_096
"""About the bytes of a vector, of 1,024 numbers."""


@dataclass(frozen=True, slots=True)
class IdentifyTexts:
    """Give texts their canonical form and their content id, on a worker."""

    said: WorkFolder

    def __call__(self, item: WorkFile) -> Iterator[Tables]:
        """Yield `texts` of a file with a column `text`."""
        texts = [records.canonical_text(text) for text in self.said.read(item)["text"].to_pylist()]
        yield {"texts": pa.table([list(map(records.text_id, texts)), texts], schema=TEXTS)}


def list_texts(context: StageContext, work: WorkFolder) -> list[WorkFile]:
    """Write content id and canonical text of every turn, question and answer of every sample.

    A question is its turn without the marks of its pictures, so that it is another text where a
    mark is behind or inside it. Texts are sorted by their ids.

    Raises:
        StorageError: the disk refuses.
    """
    upstream = context.upstream
    if not upstream.ingest.samples.parts():
        return []
    with joining(context.scratch) as db:
        left = f"FROM ({current_sql(upstream, [PLACE])}) ORDER BY {PLACE}"
        samples = with_texts(db, upstream, left, SAID, IDENTIFIED_ROWS)
        said, identified = WorkFolder(context.scratch / "said"), context.scratch / "identified"
        items = said.write(map(distinct_texts, samples), pa.schema([TEXTS.field("text")]))
        if not items:
            return []
        executor = context.nearby if len(items) > 1 else LocalExecutor()
        executor.stream(items, lambda: IdentifyTexts(said), identified, lambda rows: None)
        return work.write(_sorted(db, identified / "texts", context), TEXTS)


def distinct_texts(samples: pa.Table) -> pa.Table:
    """Return the distinct texts (column `text`) of the turns, questions and answers of samples."""
    turns = pc.list_flatten(samples["messages"])
    columns = [pc.struct_field(turns, "content"), samples["question"], samples["answer"]]
    chunks = [chunk for column in columns for chunk in column.chunks]
    texts = pc.unique(pa.chunked_array(chunks, pa.string()).drop_null())
    # An empty turn is a text, and an empty question is none.
    if not pc.any(pc.equal(columns[0], ""), skip_nulls=True).as_py():
        texts = texts.filter(pc.not_equal(texts, ""))
    return pa.table({"text": texts})


def _sorted(db: DuckDBPyConnection, folder: Path, context: StageContext) -> Iterator[pa.Table]:
    """Yield every text once, by its id: ids are sorted by the engine, and texts are mapped."""
    files = parts(folder)
    order = db.execute(
        f"SELECT min({place_sql(files, 't')}) AS place FROM {files_sql(files)} t "
        "GROUP BY content_id ORDER BY content_id"
    ).fetchnumpy()["place"]
    texts = scratch_rows(read_batches(folder, TEXTS.names), TEXTS, context.scratch)
    size = texts.nbytes // max(len(texts), 1)
    rows = rows_per_part(len(order), context.recipe.compute.rows_per_batch, VECTOR_BYTES + size)
    for start in range(0, len(order), rows):
        yield texts.take(order[start : start + rows])

"""Write the format `hf`: a folder for ``datasets.load_dataset``, with pictures and a data card.

It has Parquet files under ``data/`` and a README.md: the layout of a data set repository, which can
be uploaded as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.exports.card import card
from curation.exports.croissant import table_fields
from curation.exports.export_format import ExportFormat, Json
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.row_groups import GROUP_ROWS, grouped, picture_cells
from curation.exports.turns import FACTS, NUMBERS, Line, chat, facts

FILE_BYTES: Final = 500_000_000


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write data set and README.md; return the number of rows.

    Args:
        batches: The selection.
        target: The folder to make.
        lineage: Facts of the run and the selection, for README.md.
        pictures: Reader of pictures, whose bytes go into the rows.
    """
    target.mkdir()
    with _Files(target / "data") as files:
        lines = (line for batch in batches for line in batch.to_pylist())
        for entries in grouped(_entry(line, pictures) for line in lines):
            files.add(entries)
    (target / "README.md").write_text(card(lineage), encoding="utf-8")
    return files.rows


class _Files(ExitStack):
    """Parquet files of about `FILE_BYTES`; one is open at a time."""

    def __init__(self, folder: Path) -> None:
        from datasets import Features, Image, List, Value

        super().__init__()
        folder.mkdir()
        self.folder = folder
        text = Value("string")
        features = {
            "messages": List({"role": text, "content": List({"type": text, "text": text})}),
            "images": List(Image()),
            "image_ids": List(text),
            **dict.fromkeys(("question", "answer"), text),
            **{name: Value(NUMBERS.get(name, "string")) for name in FACTS},
        }
        self.schema = Features(features).arrow_schema
        self.rows, self.count, self.bytes = 0, 0, FILE_BYTES

    def add(self, entries: list[Json]) -> None:
        """Append one row group."""
        import pyarrow.parquet as pq

        if self.bytes >= FILE_BYTES:
            self.close()
            path = self.folder / f"train-{self.count:05d}.parquet"
            self.writer = self.enter_context(pq.ParquetWriter(path, self.schema))
            self.count, self.bytes = self.count + 1, 0
        table = pa.Table.from_pylist(entries, schema=self.schema)
        self.writer.write_table(table, row_group_size=GROUP_ROWS)
        self.rows, self.bytes = self.rows + table.num_rows, self.bytes + table.nbytes


def _entry(line: Line, pictures: Pictures) -> Json:
    return {
        "messages": chat(line),
        "images": picture_cells(line, pictures),
        "image_ids": [reference["image_id"] for reference in line["images"] or ()],
        "question": line["question"],
        "answer": line["answer"],
        **facts(line),
    }


FORMAT: Final = ExportFormat(
    "hf",
    folder=True,
    write=write,
    media_type="application/x-parquet",
    pattern="data/*.parquet",
    fields=table_fields,
)

"""One set of records written in every format that readers take, and the rows that come out."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.hf import HfReader
from curation.sources.table import TableReader
from curation.sources.webdataset import WebDatasetReader
from medsift.images.blob_store import BlobStore

UNTYPED = ("jsonl", "json", "csv", "tar")
FORMATS = (*UNTYPED, "parquet", "hf")


def cell(value):
    """A value as a CSV cell: containers as JSON."""
    if value is None:
        return ""
    if isinstance(value, (list, dict, bool)):
        return json.dumps(value)
    return value


def write(folder, kind, items):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"in.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
    elif kind == "json":
        path.write_text(json.dumps(items))
    elif kind == "csv":
        names = list(dict.fromkeys(name for item in items for name in item))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows([{name: cell(item.get(name)) for name in names} for item in items])
        path.write_text(text.getvalue())
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for place, item in enumerate(items):
                data = json.dumps(item).encode()
                info = tarfile.TarInfo(f"{place:03}.json")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(items), path)
    else:
        import datasets

        datasets.Dataset(pa.Table.from_pylist(items)).save_to_disk(str(path))
    return str(path)


def reader_of(kind, path, **settings):
    types = {"tar": WebDatasetReader, "hf": HfReader}
    return types.get(kind, TableReader)(name="s", path=path, **settings)


def rows_of(reader, folder):
    blobs = BlobStore(Path(folder) / "blobs")
    tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    return pa.concat_tables(tables).to_pylist()


def read(folder, kind, items, **settings):
    path = write(Path(folder) / "data", kind, items)
    return rows_of(reader_of(kind, path, **settings), folder)


def asked(row):
    return None if row["messages"] is None else row["messages"][-2]["content"]


def answered(row):
    return None if row["messages"] is None else row["messages"][-1]["content"]

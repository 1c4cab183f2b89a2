"""Sorting and taking more than 2 GiB of text and of thumbnails, past Arrow's 32-bit offsets.

Run: python benchmarks/offsets.py [--gib 2.2]. Needs about six times that in memory. Prints what a
plain sort says, then seconds and chunks of ours; at last, a benchmark's index of such miniatures is
made, written and read again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.decontaminate import build_index, read_index, write_index
from medsift import records
from medsift.reorder import sorted_rows, taken_rows
from medsift.storage.vectors import ContentVectors

ROW_BYTES = 96 << 10
THUMB_BYTES = 4_096
CHUNK_ROWS = 2_000
GIB = 1 << 30


def texts(gib: float) -> pa.Table:
    """Rows with a conversation of 96 KiB each, in chunks."""
    rows = int(gib * GIB / ROW_BYTES)
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    text = "x" * ROW_BYTES
    ids = np.random.default_rng(0).permutation(rows)
    pieces = []
    for start in range(0, rows, CHUNK_ROWS):
        part = ids[start : start + CHUNK_ROWS]
        messages = pa.array([[{"role": "user", "content": text}]] * len(part), pa.list_(turn))
        pieces.append(pa.table({"row_id": [f"r{n:09d}" for n in part], "messages": messages}))
    return pa.concat_tables(pieces)


def thumbs(gib: float) -> pa.Table:
    """Rows with a thumbnail of 4 KiB each, in chunks."""
    rows = int(gib * GIB / THUMB_BYTES)
    ids = np.random.default_rng(1).permutation(rows)
    picture = bytes(THUMB_BYTES)
    step = 100_000
    return pa.concat_tables(
        pa.table(
            {
                "row_id": [f"i{n:09d}" for n in ids[start : start + step]],
                "thumb": pa.array([picture] * len(ids[start : start + step]), pa.binary()),
            }
        )
        for start in range(0, rows, step)
    )


def show(name: str, table: pa.Table) -> None:
    """Print what becomes of one table."""
    try:
        table.sort_by("row_id").combine_chunks()
        plain = "works"
    except pa.ArrowInvalid as error:
        plain = str(error)
    start = time.perf_counter()
    ordered = sorted_rows(table, ["row_id"])
    seconds = time.perf_counter() - start
    ids = ordered["row_id"].to_pylist()
    assert ids == sorted(ids)
    assert ordered.schema == table.schema
    taken = taken_rows(table, np.arange(table.num_rows)[::-1])
    assert taken.num_rows == table.num_rows
    print(f"{name}: {table.num_rows} rows, {table.nbytes / GIB:.2f} GiB; plain sort: {plain}")
    print(f"{name}: sorted in {seconds:.1f} s, {len(ordered.to_batches())} chunks")


def show_index(gib: float) -> None:
    """Index one item for each miniature, and read some of the last rows back."""
    pictures = thumbs(gib)
    ids = [f"{n:064x}" for n in range(pictures.num_rows)]
    facts = pa.table(
        {
            "image_id": ids,
            "byte_hash": ids,
            "phash": [f"{n:016x}" for n in range(len(ids))],
            "thumb": pictures["thumb"],
        }
    )
    lines = [{"row_id": "r", "sample_id": "s", "source": "b", "images": ids, "messages": []}]
    vectors = ContentVectors(ids, np.ones((len(ids), 1), np.float32))
    start = time.perf_counter()
    samples = pa.Table.from_pylist(lines, schema=records.SAMPLES)
    index = build_index("bench", samples, facts, vectors, "encoder", gram=13)
    with tempfile.TemporaryDirectory() as folder:
        write_index(index, Path(folder) / "index")
        again = read_index(Path(folder) / "index", "encoder").images
        last = taken_rows(again.select(["image_id", "thumb"]), [len(ids) - 1, 0])
    assert last["image_id"].to_pylist() == [ids[-1], ids[0]]
    assert last["thumb"].to_pylist() == [bytes(THUMB_BYTES)] * 2
    seconds = time.perf_counter() - start
    print(f"index: {len(ids)} miniatures, {again.nbytes / GIB:.2f} GiB, {seconds:.1f} s")


def main() -> None:
    """Show both tables and the index."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=2.2)
    asked = parser.parse_args()
    show("texts", texts(asked.gib))
    show("thumbnails", thumbs(asked.gib))
    show_index(asked.gib)


if __name__ == "__main__":
    main()

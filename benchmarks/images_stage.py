"""Bytes and seconds around the images stage at sizes that double: packing, cache, lookups.

Run: python benchmarks/images_stage.py [--smallest 5000] [--doublings 3]. What grows with the
pictures doubles from line to line; what is quadratic grows fourfold.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.joins import joining
from curation.stages.image_files import FILES
from curation.stages.image_verdicts import FACTS, verdicts, write_lookups
from medsift.execution import begin_stream, pack
from medsift.images import ImagesConfig
from medsift.storage.table_cache import TableCache

BATCH = 64
ROWS = 1_000
MIB = 1 << 20


def contents(pictures: int) -> pa.Table:
    """(content_id, ref) of so many pictures."""
    ids = [hashlib.sha256(str(n).encode()).hexdigest() + ".png" for n in range(pictures)]
    refs = [f"/data/images/{n:09d}.png" for n in range(pictures)]
    return pa.table({"content_id": ids, "ref": refs})


def packing(pictures: int, folder: Path) -> tuple[float, float, float]:
    """Seconds of the plan, and MiB of all batches as they are packed and as slices pickle."""
    table = contents(pictures)
    items = [table.slice(start, BATCH) for start in range(0, pictures, BATCH)]
    start = time.perf_counter()
    begin_stream(items, folder)
    seconds = time.perf_counter() - start
    packed = sum(len(pack(item)) for item in items) / MIB
    # One pickled slice has the size of its table: all of them would be that many times it.
    sliced = len(pickle.dumps(items[0])) * len(items) / MIB
    return seconds, packed, sliced


def caching(parts: int, folder: Path) -> tuple[float, float]:
    """Seconds of a fresh worker's first look, and of a look after another part, in a cache."""
    cache = TableCache(folder, "f")
    vector = np.zeros(32, np.float32).tolist()
    for number in range(parts):
        cache.append(pa.table({"content_id": [f"c{number}"], "vector": [vector]}))
    time.sleep(2.1)  # so that folders' times of change are old enough to be trusted
    fresh = TableCache(folder, "f")
    start = time.perf_counter()
    fresh.lookup(["none"])
    first = time.perf_counter() - start
    start = time.perf_counter()
    for number in range(20):
        fresh.append(pa.table({"content_id": [f"new{number}"], "vector": [vector]}))
        fresh.lookup([f"none{number}"])
    return first, (time.perf_counter() - start) / 20


def lookups(pictures: int, folder: Path) -> tuple[float, float, float]:
    """Seconds of all lookups, KiB of the largest, and MiB of all pictures as one task had them."""
    table = contents(pictures)
    files = table.append_column("byte_hash", table["content_id"])
    for name in ("error", "detail"):
        files = files.append_column(name, pa.nulls(pictures, pa.string()))
    known = {"content_id": table["content_id"], "image_id": table["content_id"]}
    known |= {"blank_share": pa.array(np.full(pictures, 0.1))}
    known |= {"notes": pa.array([[]] * pictures, pa.list_(pa.string()))}
    known |= {name: pa.nulls(pictures, pa.string()) for name in ("error", "detail")}
    parts = []
    for start in range(0, pictures, ROWS):
        part = folder / f"part-{start // ROWS:06d}.parquet"
        refs = pa.array([[ref] for ref in table["ref"].slice(start, ROWS).to_pylist()])
        pq.write_table(pa.table({"refs": refs}), part)
        parts.append(part)
    facts = pa.table(known).select(FACTS)
    start_time = time.perf_counter()
    with joining(folder / "join") as db:
        db.register("files", files.select(FILES.names))
        db.register("facts", facts)
        scratch = folder / "join" / "joined"
        made = write_lookups(db, parts, ImagesConfig(), scratch, folder / "verdicts")
    seconds = time.perf_counter() - start_time
    found = verdicts(files.select(FILES.names), facts, ImagesConfig())
    whole = len(pickle.dumps({line["ref"]: line for line in found.to_pylist()})) / MIB
    return seconds, max(path.stat().st_size for path in made) / 1024, whole


def main() -> None:
    """Print one line a size for each of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", type=int, default=5_000)
    parser.add_argument("--doublings", type=int, default=3)
    asked = parser.parse_args()
    sizes = [asked.smallest << step for step in range(asked.doublings + 1)]
    print(f"{'pictures':>10}{'plan s':>10}{'packed MiB':>12}{'as slices MiB':>15}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            seconds, packed, sliced = packing(size, Path(name))
        print(f"{size:>10}{seconds:>10.2f}{packed:>12.2f}{sliced:>15.1f}")
    print(f"{'parts':>10}{'first s':>10}{'further ms':>12}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            first, further = caching(size // 5, Path(name))
        print(f"{size // 5:>10}{first:>10.2f}{further * 1000:>12.1f}")
    print(f"{'pictures':>10}{'lookups s':>10}{'a task KiB':>12}{'all in one MiB':>15}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            seconds, largest, whole = lookups(size, Path(name))
        print(f"{size:>10}{seconds:>10.2f}{largest:>12.1f}{whole:>15.1f}")


if __name__ == "__main__":
    main()

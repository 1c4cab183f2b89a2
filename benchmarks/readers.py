"""Readers on input that used to cost its square: failing expressions, large folders, long lines.

    python benchmarks/readers.py [--largest 3]

Seconds for each size; sizes double, so that a step that doubles is linear and one that quadruples
is quadratic. Measured on two cores under other load, before (tables halved down to single rows, the
folder walked again for each shard, the line joined again for each block) and after:

    failing expression    2,000 rows     21.9 s     0.8 s
                          4,000          65.6       0.5
                          8,000          95.2       0.7
    folder of pictures    2,000 files     4.0 s     0.9 s
                          4,000          11.6       2.2
                          8,000          44.0       4.7
    one long line             8 MiB       0.3 s     0.5 s
                             16           0.8       0.9
                             32           2.2       1.6
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from curation.sources.image_folder import ImageFolderReader
from curation.sources.reader import Reader
from curation.sources.table import TableReader
from medsift.images.blob_store import BlobStore

MIB = 1 << 20


def failing(folder: Path, rows: int) -> Reader:
    """A table in which an expression fails on every second row."""
    lines = (
        json.dumps({"question": "q", "answer": "a", "n": "x" if at % 2 else "1"})
        for at in range(rows)
    )
    path = folder / f"failing-{rows}.jsonl"
    path.write_text("\n".join(lines))
    return TableReader(name="s", path=str(path), columns={"number": "CAST(n AS INT)"})


def pictures(folder: Path, files: int) -> Reader:
    """A folder of empty pictures without captions, read in shards of 50."""
    root = folder / f"pictures-{files}"
    for at in range(files):
        path = root / f"{at // 1000}" / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return ImageFolderReader(name="s", path=str(root), shard_images=50)


def line(folder: Path, mebibytes: int) -> Reader:
    """A file whose only record is one long line."""
    path = folder / f"line-{mebibytes}.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "a" * (mebibytes * MIB - 100)}))
    return TableReader(name="s", path=str(path), shard_bytes=1 << 40)


CASES: dict[str, tuple[Callable[[Path, int], Reader], int, str]] = {
    "failing expression": (failing, 2_000, "rows"),
    "folder of pictures": (pictures, 2_000, "files"),
    "one long line": (line, 8, "MiB"),
}


def seconds(reader: Reader, folder: Path) -> float:
    """Time to fingerprint, cut and read a source."""
    begun = time.perf_counter()
    reader.fingerprint()
    for shard in reader.shards():
        for _ in reader.read(shard, BlobStore(folder / "blobs")):
            pass
    return time.perf_counter() - begun


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=3, help="doublings of each first size")
    doublings = parser.parse_args().largest
    with tempfile.TemporaryDirectory() as name:
        for case, (make, first, unit) in CASES.items():
            for step in range(doublings + 1):
                size = first << step
                took = seconds(make(Path(name), size), Path(name))
                print(f"{case:20} {size:>8,} {unit:5} {took:8.2f} s", flush=True)


if __name__ == "__main__":
    main()

"""Time readers on hard input of growing size: failing expressions, large folders, long lines.

    python benchmarks/readers.py [--largest 3]

Prints the seconds for each size. Sizes double, so that time that doubles is linear and time that
quadruples is quadratic. On two cores under other load 8,000 rows of a failing expression took
0.7 s, a folder of 8,000 pictures 4.7 s and a line of 32 MiB 1.6 s.
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

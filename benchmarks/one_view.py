"""Find copies among pictures of one view, where nearly all hashes are near: time, memory by size.

    python benchmarks/one_view.py [--rows 5000 10000 20000] [--against 500 1000 2000]

Each size runs in a process of its own. Memory is the peak above that before the search. `dedup`
searches above `exact_up_to` (0 here): hashes exactly in tiles, vectors in cells. `leaks` compares a
pool with a benchmark of as many pictures without miniatures. On two busy cores `dedup` took 0.9 s
and 169 MB for 2,500 pictures, 4.0 s and 351 MB for 5,000, 17.6 s and 714 MB for 10,000, 78.5 s and
1,266 MB for 20,000. Time grows with the square where most hashes are near, as the pairs do.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

SIDE = 64


def one_view(rows: int, seed: int = 0) -> Any:
    """Return pictures (rows) that share most of their structure; 7 % of pairs differ in 16 bits."""
    from curation.matching.image_copies import ImageSet

    rng = np.random.default_rng(seed)
    common = rng.integers(0, 2, 64)
    bits = np.where(rng.random((rows, 64)) < 0.195, 1 - common, common).astype(np.float32)
    smooth = np.kron(rng.integers(60, 200, (8, 8)), np.ones((8, 8)))
    thumbs = (smooth + rng.normal(0, 12, (rows, SIDE, SIDE))).clip(0, 255).astype(np.uint8)
    vectors = rng.standard_normal((rows, 64), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"{seed}-{row:08d}" for row in range(rows)]
    return ImageSet(ids, (2 * bits - 1) / np.float32(8), thumbs, vectors)


def dedup(rows: int) -> str:
    """Find the candidates among `rows` pictures above the limit of exact search."""
    from curation.matching.image_copies import find_candidates
    from curation.matching.settings import ImageCopyConfig
    from curation.neighbors import NeighborsConfig

    found = find_candidates(one_view(rows), ImageCopyConfig(), NeighborsConfig(exact_up_to=0))
    return f"{found.counted:,} candidates, {len(found.left):,} to compare, {found.recall:.3f} found"


def leaks(rows: int) -> str:
    """Compare a pool with a benchmark of `rows` pictures each, by hashes and vectors."""
    import pyarrow as pa

    from curation.decontaminate.config import DecontaminateConfig
    from curation.decontaminate.images import match_images
    from curation.decontaminate.index import BenchmarkIndex
    from curation.matching.settings import ImageCopyConfig

    pool, bench = one_view(rows), one_view(rows, seed=1)
    none = pa.table({})
    codes = np.packbits(bench.bits > 0, axis=1)
    table = pa.table(
        {
            "image_id": bench.ids,
            "phash": [code.tobytes().hex() for code in codes],
            "thumb": pa.nulls(rows, pa.binary()),
            "vector": pa.FixedSizeListArray.from_arrays(bench.vectors.reshape(-1), 64),
        }
    )
    index = BenchmarkIndex(name="bench", encoder="e", items=none, passages=none, images=table)
    hits = match_images(pool, index, ImageCopyConfig(), DecontaminateConfig())
    return f"{len(hits.left):,} near"


WORK = {"dedup": dedup, "leaks": leaks}


def measure(name: str, rows: int) -> None:
    """Print one line of the table."""
    WORK[name](64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    note = WORK[name](rows)
    seconds = time.perf_counter() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name:>6} {rows:>8,} {seconds:8.1f} s {peak:8,.0f} MB  {note}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[5_000, 10_000, 20_000])
    parser.add_argument("--against", type=int, nargs="*", default=[500, 1_000, 2_000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.one:
        measure(asked.one[0], int(asked.one[1]))
        return
    for name, sizes in (("dedup", asked.rows), ("leaks", asked.against)):
        for rows in sizes:
            subprocess.run([sys.executable, __file__, "--one", name, str(rows)], check=True)


if __name__ == "__main__":
    main()

"""Copies among pictures of one view, where nearly all hashes are near: time and memory by size.

    python benchmarks/one_view.py [--rows 5000 10000 20000] [--against 500 1000 2000]

Each size runs in a process of its own. Memory is the peak above what was there before the search.
`dedup` searches past `exact_up_to` (0 here): hashes exactly in tiles, vectors in cells. `leaks`
compares a pool with a benchmark of as many pictures. Before and now in one run, two busy cores:

    dedup   2,500   before   3.9 s    292 MB, 0.81 of the pairs    now   0.9 s    169 MB, all
    dedup   5,000   before   8.7 s    351 MB, 0.59                 now   4.0 s    351 MB, all
    dedup  10,000   before  47.7 s    916 MB, 0.47                 now  17.6 s    714 MB, all
    dedup  20,000   before 170.6 s  2,267 MB, 0.32                 now  78.5 s  1,266 MB, all
    dedup  40,000   before refused: more than 20 M pairs           now more than 150 s, not awaited
    leaks     500   before   0.4 s    101 MB                       now   0.1 s    103 MB
    leaks   1,000   before   1.2 s    322 MB                       now   0.4 s    271 MB
    leaks   2,000   before   4.8 s  1,064 MB                       now   1.6 s    289 MB

Time grows with the square where most hashes are near: so many pairs there are to look at.
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
    """Pictures (rows) that share most of their structure; 7 % of pairs differ in 16 bits."""
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
    """Find the candidates among `rows` pictures past the limit of exact search."""
    from curation.matching.image_copies import find_candidates
    from curation.matching.settings import ImageCopyConfig
    from curation.neighbors import NeighborsConfig

    found = find_candidates(one_view(rows), ImageCopyConfig(), NeighborsConfig(exact_up_to=0))
    return f"{found.counted:,} candidates, {len(found.left):,} to compare, {found.recall:.3f} found"


def leaks(rows: int) -> str:
    """Find the candidates between a pool and a benchmark of `rows` pictures each."""
    import pyarrow as pa

    from curation.decontaminate.images import benchmark_images, find_candidates_between
    from curation.decontaminate.index import BenchmarkIndex
    from curation.matching.settings import ImageCopyConfig

    pool, bench = one_view(rows), one_view(rows, seed=0)
    none = pa.table({})
    codes = np.packbits(bench.bits > 0, axis=1)
    table = pa.table(
        {
            "image_id": bench.ids,
            "phash": [code.tobytes().hex() for code in codes],
            "thumb": [thumb.tobytes() for thumb in bench.thumbs],
            "vector": pa.FixedSizeListArray.from_arrays(bench.vectors.reshape(-1), 64),
        }
    )
    index = BenchmarkIndex(name="bench", encoder="e", items=none, passages=none, images=table)
    left, _ = find_candidates_between(
        pool, benchmark_images(index), ImageCopyConfig(), glance=index.confirms
    )
    return f"{len(left):,} to compare"


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

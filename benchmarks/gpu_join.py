"""The tile join on a GPU: seconds, memory, and agreement with the CPU.

    python benchmarks/gpu_join.py [--rows 20000 100000 500000]

Up to 20,000 rows the pairs are compared bit for bit with those found on the CPU.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch
from vectors import THRESHOLD, planted

from curation.neighbors import join, pairs_above
from curation.neighbors.prefilter import Precision

TILE = 8192


def measure(rows: int, precision: Precision) -> None:
    """Print one line of the table."""
    vectors = planted(rows)
    pairs_above(vectors[:1000], THRESHOLD, device="cuda", precision=precision)
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    pairs = pairs_above(vectors, THRESHOLD, tile=TILE, device="cuda", precision=precision)
    seconds = time.perf_counter() - start
    note = f"{len(pairs)} pairs of {rows // 5} planted"
    if rows <= 20_000:
        here = pairs_above(vectors, THRESHOLD, device="cpu")
        same = np.array_equal(here.left, pairs.left) and np.array_equal(here.right, pairs.right)
        exact = same and np.array_equal(here.similarity, pairs.similarity)
        note += ", bit for bit as on the CPU" if exact else ", NOT as on the CPU"
    peak = torch.cuda.max_memory_allocated() / 1e6
    print(f"{rows:>9} {'pairs ' + precision:>16} {seconds:9.2f} {peak:8.0f}  {note}")


def measure_neighbours(rows: int) -> None:
    """Print the line of 32 neighbours of each row."""
    vectors = planted(rows)
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    join(vectors, threshold=THRESHOLD, k=32, tile=TILE, device="cuda")
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 1e6
    print(f"{rows:>9} {'32 neighbours':>16} {seconds:9.2f} {peak:8.0f}")


def main() -> None:
    """Read the command line and run on the first GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000, 500_000])
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: this benchmark runs on a machine with a GPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'rows':>9} {'work':>16} {'seconds':>9} {'GPU MB':>8}")
    for rows in chosen.rows:
        measure(rows, "float32")
        measure(rows, "bfloat16")
        if rows <= 100_000:
            measure_neighbours(rows)


if __name__ == "__main__":
    main()

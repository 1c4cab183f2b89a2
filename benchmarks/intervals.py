"""Intervals of one million predictions in ten facets, and what nominal 95% really covers.

    python benchmarks/intervals.py [--rows 1000000] [--coverage] [--sets 2000]

Time and memory are of `breakdown` alone, in a process that holds the table already. `--coverage`
prints how often the intervals of simulated sets hold the truth: right or wrong items whose
chance differs by cluster (beta-binomial), next to the percentile bootstrap.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medsift.statistics import Resampling, breakdown
from medsift.statistics.clusters import ClusterSums
from medsift.statistics.interval import ends

FACETS = {
    "modality": 8,
    "body_part": 12,
    "task_type": 9,
    "answer_type": 3,
    "language": 2,
    "source": 5,
    "difficulty": 4,
    "hospital": 10,
    "device": 6,
    "sex": 2,
}
METRICS = {"accuracy": "score", "recall": "recall", "f1": "f1"}
Counts = NDArray[np.float64]


def predictions(rows: int, seed: int = 0) -> pa.Table:
    """Four questions a picture, tags by picture for half of the facets and by row for the rest."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, max(rows // 4, 1), rows)
    columns: dict[str, object] = {
        "evaluation_id": pa.array(["e"] * rows),
        "benchmark": pa.array(["made"] * rows),
        "variant": pa.array(["original"] * rows),
        "item_id": pa.array(np.arange(rows)).cast(pa.string()),
        "image_id": pa.array(images).cast(pa.string()),
        "parse_status": pa.array(np.where(rng.random(rows) < 0.03, "unparsed", "parsed")),
        "score": (rng.random(rows) < 0.6).astype(float),
        "recall": rng.random(rows),
        "f1": pa.array(rng.random(rows), mask=rng.random(rows) < 0.5),
    }
    for number, (facet, values) in enumerate(FACETS.items()):
        which = images % values if number % 2 else rng.integers(0, values, rows)
        columns[facet] = pa.array(np.char.add(facet, which.astype(str)))
    return pa.table(columns)


def measure(rows: int) -> None:
    """Print seconds and memory of one breakdown."""
    table = predictions(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, busy = time.perf_counter(), time.process_time()
    found = breakdown(table, list(FACETS), METRICS)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{rows:,} predictions, {len(FACETS)} facets, {found.num_rows} intervals: "
        f"{seconds:.1f} s ({busy:.1f} CPU s), {more:,.0f} MB more than the table's "
        f"{table.nbytes / 2**20:,.0f} MB, load {os.getloadavg()[0]:.1f}"
    )


SIZES = {
    "2 each": lambda rng, shape: np.full(shape, 2),
    "as VQA-RAD": lambda rng, shape: 1 + rng.poisson(1.22, shape),
    "10 each": lambda rng, shape: np.full(shape, 10),
    "geometric": lambda rng, shape: rng.geometric(0.2, shape),
    "Pareto": lambda rng, shape: np.minimum(1 + 3 * rng.pareto(1.5, shape), 60).astype(int),
}


def simulated(
    rng: np.random.Generator, sizes: NDArray[np.int64], mean: float, icc: float
) -> Counts:
    """Right answers (clusters, sets) of beta-binomial clusters of `sizes` (clusters, sets)."""
    if icc == 0:
        return rng.binomial(sizes, mean).astype(float)
    scale = 1 / icc - 1
    return rng.binomial(sizes, rng.beta(mean * scale, (1 - mean) * scale, sizes.shape)).astype(
        float
    )


def percentile_ends(data: ClusterSums, seed: int) -> tuple[Counts, Counts]:
    """The percentile bootstrap's ends, for comparison."""
    rng = np.random.default_rng(seed)
    groups = len(data.sums)
    drawn = rng.integers(0, groups, (999, groups))
    weights = np.stack([np.bincount(row, minlength=groups) for row in drawn]).astype(float)
    means = (weights @ data.sums) / (weights @ data.counts)
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return low, high


def coverage(sets: int) -> None:
    """Print the share of simulated sets whose interval holds the truth."""
    rng = np.random.default_rng(1)
    iccs = (0.0, 0.2, 0.4, 0.6)
    print(f"{sets} sets a figure; ours | percentile, for correlation {', '.join(map(str, iccs))}")
    for groups in (10, 20, 63, 203):
        for mean in (0.5, 0.9):
            for name, draw in SIZES.items():
                ours, theirs = [], []
                for icc in iccs:
                    sizes = draw(rng, (groups, sets))
                    data = ClusterSums(simulated(rng, sizes, mean, icc), sizes.astype(float))
                    for shares, (low, high) in (
                        (ours, ends(data, Resampling())),
                        (theirs, percentile_ends(data, seed=2)),
                    ):
                        shares.append(100 * np.mean((low <= mean) & (mean <= high)))
                line = " | ".join(
                    " ".join(f"{s:5.1f}" for s in shares) for shares in (ours, theirs)
                )
                print(f"{groups:4} clusters, {name:11} mean {mean}: {line}", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--coverage", action="store_true", help="print simulated coverage")
    parser.add_argument("--sets", type=int, default=2000, help="simulated sets a figure")
    chosen = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    if chosen.coverage:
        coverage(chosen.sets)
    else:
        measure(chosen.rows)


if __name__ == "__main__":
    main()

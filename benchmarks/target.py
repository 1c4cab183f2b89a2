"""The method `target` at pools that double: seconds and memory, next to whole rankings.

    python benchmarks/target.py [--rows 20000 40000 80000] [--targets 400]

A fifth of the pool is picked. Every contender and size runs in a process of its own; memory is
what the peak of the process grows by while it selects. `whole rankings` is the plain form: each
target's ranking of the pool and its cosines are kept, and walked as Python lists.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.selection.quantized_vectors import QuantizedVectors, quantize
from curation.selection.turns import Rankings, take_turns
from medsift.records import digest

WIDTH, SHARE, KIB = 64, 0.2, 1024
Picks = npt.NDArray[np.int64]


def clustered(rows: int) -> QuantizedVectors:
    """Unit vectors (rows, 64) in clusters of about 200."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((max(10, rows // 200), WIDTH), dtype=np.float32)
    vectors = centers[rng.integers(0, len(centers), rows)]
    vectors += 0.7 * rng.standard_normal((rows, WIDTH), dtype=np.float32)
    return quantize(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def ours(vectors: QuantizedVectors, targets: Picks, wanted: int) -> Picks:
    """Lists of bounded length, as the product has them."""
    code = np.zeros(len(vectors), np.int64)
    return take_turns(Rankings(vectors, targets), code, np.array([wanted]))[0]


def whole_rankings(vectors: QuantizedVectors, targets: Picks, wanted: int) -> Picks:
    """Every target's ranking of the whole pool."""
    product = vectors.points[targets] @ vectors.points.T
    ranked = [np.argsort(-line, kind="stable") for line in product]
    cosine = product.astype(np.float64) / vectors.scale**2
    queues = [iter(line.tolist()) for line in ranked]
    free = np.ones(len(vectors), np.bool_)
    order: list[int] = []
    gain: list[float] = []
    while len(order) < wanted:
        for target, queue in enumerate(queues[: wanted - len(order)]):
            place = next(row for row in queue if free[row])
            free[place] = False
            order.append(place)
            gain.append(float(cosine[target, place]))
    return np.array(order)


CONTENDERS = {"medsift": ours, "whole rankings": whole_rankings}


def measure(contender: str, rows: int, targets: int) -> dict[str, Any]:
    """Run one contender in this process."""
    vectors = clustered(rows)
    chosen = np.linspace(0, rows - 1, targets).astype(np.int64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    picked = CONTENDERS[contender](vectors, chosen, int(SHARE * rows))
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / KIB
    return {"seconds": seconds, "mebibytes": grown, "picked": digest(picked.tobytes())}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 40_000, 80_000])
    parser.add_argument("--targets", type=int, default=400)
    parser.add_argument("--only", choices=list(CONTENDERS), help="run one, in this process")
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(measure(chosen.only, chosen.rows[0], chosen.targets)))
        return
    print(f"{'rows':>10} {'targets':>8} {'contender':16} {'seconds':>8} {'MiB':>8}")
    for rows in chosen.rows:
        found = {name: _in_a_process(name, rows, chosen.targets) for name in CONTENDERS}
        assert len({one["picked"] for one in found.values()}) == 1, "the picks differ"
        for name, one in found.items():
            print(
                f"{rows:10,} {chosen.targets:8,} {name:16} {one['seconds']:8.2f} "
                f"{one['mebibytes']:8.0f}",
                flush=True,
            )


def _in_a_process(contender: str, rows: int, targets: int) -> dict[str, Any]:
    options = ["--only", contender, "--rows", str(rows), "--targets", str(targets)]
    done = subprocess.run(
        [sys.executable, __file__, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()

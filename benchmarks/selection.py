"""Facility location on a 32-neighbour graph, a fifth of the rows: ours at growing sizes, and peers.

    python benchmarks/selection.py [--rows 10000 100000 1000000] [--peers 10000]

The graph of each size is made once and timed by itself; every contender then gets the same graph
in a process of its own. Seconds are those after the graph, making it symmetric included, the best
of the repeats. All contenders maximise the same objective on the same symmetric graph; its value
is computed from what they picked. The exponent is log(time ratio) / log(row ratio): 1 is linear.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.pool import KnnGraph
from curation.selection.greedi import two_rounds
from curation.selection.greedy import greedy
from curation.selection.neighbor_matrix import UNIT, Similarities, make_symmetric

WIDTH, NEIGHBOURS, SHARE, PARTS = 64, 32, 0.2, 8
Picks = npt.NDArray[np.int64]


def clustered(rows: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return unit vectors (rows, 64) in clusters of about 200, some tight and some loose."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(10, rows // 200), WIDTH), dtype=np.float32)
    spread = 0.3 + 0.9 * rng.random((rows, 1), dtype=np.float32)
    noise = rng.standard_normal((rows, WIDTH), dtype=np.float32)
    vectors = centers[rng.integers(0, len(centers), rows)] + spread * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def make_graph(rows: int, path: Path) -> dict[str, Any]:
    """Find the neighbours, exactly up to 20,000 rows, and leave them at `path`."""
    from curation.neighbors import NeighborsConfig, approximate_nearest, join

    vectors = clustered(rows)
    start = time.perf_counter()
    if rows <= 20_000:
        exact = join(vectors, k=NEIGHBOURS)
        assert exact.neighbours is not None
        assert exact.similarities is not None
        graph = KnnGraph(exact.neighbours, exact.similarities, "exact", 1.0)
    else:
        found = approximate_nearest(vectors, NEIGHBOURS, NeighborsConfig())
        graph = KnnGraph(found.index, found.similarity, "ivf", found.recall)
    seconds = time.perf_counter() - start
    np.savez(path, index=graph.index, similarity=graph.similarity)
    return {"seconds": seconds, "method": graph.method, "recall": graph.recall}


def ours(values: Similarities, budget: int) -> Picks:
    """Greedy in blocks, as the product runs it."""
    n = len(values)
    return greedy(values, np.ones(n, np.int64), np.zeros(n, np.int64), np.array([budget])).order


def in_two_rounds(values: Similarities, budget: int) -> Picks:
    """GreeDi over eight parts, one after another."""
    n = len(values)
    part = np.random.default_rng(0).integers(0, PARTS, n)
    mass, group, counts = np.ones(n, np.int64), np.zeros(n, np.int64), np.array([budget])
    return two_rounds(values, mass, group, counts, part, lambda f, items: [*map(f, items)]).order


def textbook(values: Similarities, budget: int) -> Picks:
    """Lazy greedy with a heap of upper bounds (Minoux 1978), one row at a time."""
    matrix, served = values.matrix, np.zeros(len(values), np.int64)
    start, other, value = matrix.indptr, matrix.indices, matrix.data
    heap = [(-int(gain), row) for row, gain in enumerate(matrix.sum(axis=1))]
    heapq.heapify(heap)
    order: list[int] = []
    while len(order) < budget:
        _, row = heapq.heappop(heap)
        entries = slice(start[row], start[row + 1])
        samples = other[entries]
        gain = int(np.maximum(value[entries] - served[samples], 0).sum())
        if heap and (-gain, row) > heap[0]:
            heapq.heappush(heap, (-gain, row))
            continue
        order.append(row)
        served[samples] = np.maximum(served[samples], value[entries])
    return np.array(order)


def apricot(values: Similarities, budget: int) -> Picks:
    """Lazy greedy on the precomputed sparse matrix."""
    from apricot import FacilityLocationSelection  # type: ignore[import-not-found]

    selector = FacilityLocationSelection(budget, metric="precomputed", optimizer="lazy")
    return np.asarray(selector.fit(_as_floats(values)).ranking)


def submodlib(values: Similarities, budget: int) -> Picks:
    """Lazy greedy in C++ on the precomputed sparse matrix."""
    from submodlib import FacilityLocationFunction  # type: ignore[import-not-found]

    function = FacilityLocationFunction(
        n=len(values), mode="sparse", sijs=_as_floats(values), num_neighbors=NEIGHBOURS
    )
    picked = function.maximize(
        budget=budget, optimizer="LazyGreedy", stopIfZeroGain=False, show_progress=False
    )
    return np.array([row for row, _ in picked])


def _as_floats(values: Similarities) -> Any:
    from scipy.sparse import csr_matrix

    arrays = values.matrix
    return csr_matrix((arrays.data / UNIT, arrays.indices, arrays.indptr), shape=arrays.shape)


OURS = "medsift"
CONTENDERS: dict[str, tuple[str | None, Callable[[Similarities, int], Picks]]] = {
    OURS: (None, ours),
    "medsift, two rounds of 8 parts": (None, in_two_rounds),
    "textbook lazy greedy, heapq": (None, textbook),
    "apricot-select, lazy": ("apricot", apricot),
    "submodlib, lazy": ("submodlib", submodlib),
}


def measure(contender: str, path: Path, repeat: int) -> dict[str, Any]:
    """Run one contender in this process."""
    with np.load(path) as arrays:
        graph = KnnGraph(arrays["index"], arrays["similarity"], "exact", 1.0)
    run = CONTENDERS[contender][1]
    rows, seconds, symmetric = len(graph), [], []
    for _ in range(repeat):
        start = time.perf_counter()
        values = make_symmetric(graph)
        symmetric.append(time.perf_counter() - start)
        picked = run(values, int(SHARE * rows))
        seconds.append(time.perf_counter() - start)
    assert len(np.unique(picked)) == int(SHARE * rows)
    best = values.matrix[picked].max(axis=0).toarray()
    objective = float(best.sum(dtype=np.int64)) / UNIT
    load = os.getloadavg()[0]
    return {
        "seconds": min(seconds),
        "symmetric": min(symmetric),
        "objective": objective,
        "load": load,
    }


def compare(rows: int, peers: bool, path: Path) -> tuple[float, float]:
    """Print the table of one size; return the seconds of the graph and of ours."""
    graph = _in_a_process("--graph", str(path), "--rows", str(rows))
    print(f"\n{rows:,} rows to {int(SHARE * rows):,}, {NEIGHBOURS} neighbours, {WIDTH} dimensions")
    print(f"graph: {graph['seconds']:.1f} s, {graph['method']}, recall {graph['recall']:.4f}")
    print(f"{'contender':32} {'seconds':>8} {'objective':>12} {'of ours':>8} {'load':>6}")
    own: dict[str, Any] = {}
    for contender, (needs, _) in CONTENDERS.items():
        if not peers and not contender.startswith(OURS):
            continue
        if needs is not None and importlib.util.find_spec(needs) is None:
            print(f"{contender:32} not installed: pip install 'medsift[bench]'")
            continue
        repeat = 3 if contender == OURS and rows <= 100_000 else 1
        found = _in_a_process("--only", contender, "--graph", str(path), "--repeat", str(repeat))
        own = own or found
        print(
            f"{contender:32} {found['seconds']:8.2f} {found['objective']:12.1f} "
            f"{found['objective'] / own['objective']:8.4f} {found['load']:6.1f}",
            flush=True,
        )
    print(f"making the graph symmetric is {own['symmetric']:.2f} s of each")
    return graph["seconds"], own["seconds"]


def _in_a_process(*options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(options)} failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--peers", type=int, default=10_000, help="largest size peers run at")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--graph", type=Path, help="make a graph, or run --only on it, here")
    parser.add_argument("--only", choices=list(CONTENDERS), help="run one, in this process")
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(measure(chosen.only, chosen.graph, chosen.repeat)))
        return
    if chosen.graph:
        print(json.dumps(make_graph(chosen.rows[0], chosen.graph)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    before: tuple[int, float, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for rows in chosen.rows:
            graph, own = compare(rows, rows <= chosen.peers, Path(folder) / "graph.npz")
            if before is not None:
                ratio = math.log(rows / before[0])
                print(
                    f"growth since {before[0]:,} rows: graph "
                    f"{math.log(graph / before[1]) / ratio:.2f}, selection "
                    f"{math.log(own / before[2]) / ratio:.2f}"
                )
            before = (rows, graph, own)


if __name__ == "__main__":
    main()

"""Near-duplicate vectors with planted copies: ours next to FAISS and semhash, one process each.

    python benchmarks/vectors.py [--rows 20000 100000] [--repeat 3]

Every contender gets the same vectors in a process of its own. Seconds are the best of the
repeats; memory is the peak of the process above that after imports and one small run,
before the vectors of the benchmark were made. Kept rows are checked against the planted truth.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
THRESHOLD = 0.95
WIDTH = 512


def planted(rows: int, seed: int = 0) -> Vectors:
    """Return unit vectors (rows, 512), a fifth of them copies at cosine about 0.99, shuffled."""
    rng = np.random.default_rng(seed)
    copies = rows // 5
    vectors = rng.standard_normal((rows, WIDTH), dtype=np.float32)
    noise = rng.standard_normal((copies, WIDTH), dtype=np.float32)
    vectors[rows - copies :] = vectors[:copies] + np.float32(0.14) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rng.shuffle(vectors)
    return vectors


def ours(vectors: Vectors) -> tuple[int, str]:
    """Keep the greedy survivors of all pairs."""
    from curation.neighbors import greedy_survivors, pairs_above

    pairs = pairs_above(vectors, THRESHOLD)
    witness = greedy_survivors(len(vectors), pairs, np.arange(len(vectors)))
    return int((witness < 0).sum()), f"{len(pairs)} pairs"


def ours_with_neighbours(vectors: Vectors) -> tuple[int, str]:
    """Keep the greedy survivors, and find 32 neighbours of each row in the same pass."""
    from curation.neighbors import greedy_survivors, join

    found = join(vectors, threshold=THRESHOLD, k=32)
    assert found.pairs is not None
    witness = greedy_survivors(len(vectors), found.pairs, np.arange(len(vectors)))
    return int((witness < 0).sum()), "pairs and 32 neighbours"


def faiss_range(vectors: Vectors) -> tuple[int, str]:
    """Keep the first row of each pair of a flat range search."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    limits, _, found = index.range_search(vectors, THRESHOLD)
    query = np.repeat(np.arange(len(vectors)), (limits[1:] - limits[:-1]).astype(np.int64))
    dropped = np.unique(query[found < query])
    return len(vectors) - len(dropped), f"{int((found < query).sum())} pairs"


def semhash(vectors: Vectors) -> tuple[int, str]:
    """Deduplicate from embeddings with the defaults."""
    from semhash import SemHash  # type: ignore[import-not-found]

    class NoEncoder:
        def encode(self, inputs: Sequence[str], **_: object) -> Vectors:
            raise RuntimeError("the benchmark gives embeddings, nothing is to be encoded")

    names = [str(number) for number in range(len(vectors))]
    hashed = SemHash.from_embeddings(vectors, names, model=NoEncoder())
    return len(hashed.self_deduplicate(threshold=THRESHOLD).selected), "approximate"


CONTENDERS: dict[str, tuple[str | None, Callable[[Vectors], tuple[int, str]]]] = {
    "medsift pairs": (None, ours),
    "medsift pairs + 32 neighbours": (None, ours_with_neighbours),
    "FAISS flat range search": ("faiss", faiss_range),
    "semhash from embeddings": ("semhash", semhash),
}


def megabytes_now() -> float:
    """Return the resident memory of this process in MB (Linux)."""
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return resident * os.sysconf("SC_PAGE_SIZE") / 1e6


def megabytes_at_peak() -> float:
    """Return the largest resident memory of this process in MB, exec'd parents left out."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmHWM in /proc/self/status: memory is measured on Linux only")


def measure(contender: str, rows: int, repeat: int) -> None:
    """Run one contender in this process and print its figures as JSON."""
    _, run = CONTENDERS[contender]
    run(planted(500))
    before = megabytes_now()
    vectors = planted(rows)
    seconds, load = [], os.getloadavg()[0]
    for _ in range(repeat):
        start = time.perf_counter()
        kept, note = run(vectors)
        seconds.append(time.perf_counter() - start)
    memory = megabytes_at_peak() - before
    figures = {"seconds": min(seconds), "memory": memory, "kept": kept, "note": note, "load": load}
    print(json.dumps(figures))


def compare(rows: int, repeat: int) -> None:
    """Print the table of all contenders at one size."""
    truth = rows - rows // 5
    print(f"\n{rows} x {WIDTH} vectors, {rows // 5} planted copies, cosine >= {THRESHOLD}")
    print(f"{'contender':32} {'seconds':>8} {'MB':>7} {'kept':>8} {'truth':>8}  note")
    for contender, (needs, _) in CONTENDERS.items():
        if needs is not None and importlib.util.find_spec(needs) is None:
            print(f"{contender:32} not installed: pip install 'medsift[bench]'")
            continue
        command = [sys.executable, __file__, "--only", contender, "--rows", str(rows)]
        command += ["--repeat", str(repeat)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{contender:32} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{contender:32} {found['seconds']:8.2f} {found['memory']:7.0f} {found['kept']:8} "
            f"{truth:8}  {'exact' if found['kept'] == truth else 'WRONG'}, {found['note']}, "
            f"load {found['load']:.1f}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=list(CONTENDERS), help="run one, in this process")
    chosen = parser.parse_args()
    if chosen.only:
        measure(chosen.only, chosen.rows[0], chosen.repeat)
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    for rows in chosen.rows:
        compare(rows, chosen.repeat if rows <= 20_000 else 1)


if __name__ == "__main__":
    main()

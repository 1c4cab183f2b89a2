"""Near-duplicate texts with planted copies: ours next to semhash, one process each.

    python benchmarks/texts.py [--rows 20000] [--repeat 3]
    python benchmarks/texts.py --doubling [--largest 1600]

20,000 texts of 20 to 40 words, a tenth of them exact copies and a tenth with one word changed.
Recall is the share of planted copies whose original was found; kept is checked against truth.
With --doubling: reports from one template that differ in a number alone, and a question with one
long run of blanks, at sizes that double. Twice the reports are four times the pairs, of which each
is looked at once; the duplicate search itself compares no pair whose numbers differ.
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

import numpy as np
import numpy.typing as npt

THRESHOLD = 0.7
VOCABULARY = 5000


def planted(rows: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Return texts and, for each, the number of its original or -1; copies stand last."""
    rng = np.random.default_rng(seed)
    part = rows // 10
    words = np.array([f"w{number:04x}" for number in range(VOCABULARY)])
    drawn = [
        words[rng.integers(0, VOCABULARY, rng.integers(20, 41))] for _ in range(rows - 2 * part)
    ]
    texts = [" ".join(text) for text in drawn]
    texts += texts[:part]
    for number in range(part, 2 * part):
        other = drawn[number].copy()
        other[rng.integers(len(other))] = "changed"
        texts.append(" ".join(other))
    return texts, [-1] * (rows - 2 * part) + list(range(2 * part))


def ours(texts: list[str]) -> tuple[int, set[tuple[int, int]]]:
    """Keep the greedy survivors of the near pairs."""
    from curation.neighbors import greedy_survivors, near_texts

    pairs = near_texts(texts, threshold=THRESHOLD)
    witness = greedy_survivors(len(texts), pairs, np.arange(len(texts)))
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    return int((witness < 0).sum()), found


class WordHashes:
    """Encodes a text as normalised counts of its hashed words: an encoder that needs no hub."""

    def encode(self, inputs: Sequence[str], **_: object) -> npt.NDArray[np.float32]:
        """Return (n, 1024)."""
        import zlib

        vectors = np.zeros((len(inputs), 1024), dtype=np.float32)
        for row, text in enumerate(inputs):
            for word in text.split():
                vectors[row, zlib.crc32(word.encode()) % 1024] += 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def semhash(texts: list[str]) -> tuple[int, set[tuple[int, int]] | None]:
    """Deduplicate records with hashed words at cosine 0.93."""
    from semhash import SemHash  # type: ignore[import-not-found]

    hashed = SemHash.from_records(texts, model=WordHashes())
    return len(hashed.self_deduplicate(threshold=0.93).selected), None


TEMPLATE = " ".join(f"finding{place} was described" for place in range(20))


def double(largest: int) -> None:
    """Print the seconds of template reports and of a long run of blanks at sizes that double."""
    from curation.matching.lettered_options import choices
    from curation.neighbors import near_texts

    print(f"{'reports':>8} {'all pairs':>10} {'by meaning':>11}    {'blanks':>8} {'options':>10}")
    size = largest // 16
    while size <= largest:
        reports = [f"{TEMPLATE} and measures {number} mm" for number in range(size)]
        every = _seconds(lambda texts=reports: near_texts(texts, threshold=THRESHOLD))
        apart = np.arange(size, dtype=np.int64)
        parted = _seconds(
            lambda texts=reports, part=apart: near_texts(texts, threshold=THRESHOLD, within=part)
        )
        blanks = 100 * size
        read = _seconds(lambda count=blanks: choices("A) yes" + " " * count + "x"))
        print(f"{size:8} {every:10.3f} {parted:11.3f}    {blanks:8} {read:10.5f}", flush=True)
        size *= 2


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


Contender = Callable[[list[str]], tuple[int, set[tuple[int, int]] | None]]
CONTENDERS: dict[str, tuple[str | None, Contender]] = {
    "medsift near texts": (None, ours),
    "semhash, hashed words, 0.93": ("semhash", semhash),
}


def measure(contender: str, rows: int, repeat: int) -> None:
    """Run one contender in this process and print its figures as JSON."""
    texts, original = planted(rows)
    _, run = CONTENDERS[contender]
    run(planted(200)[0])
    seconds, load = [], os.getloadavg()[0]
    for _ in range(repeat):
        start = time.perf_counter()
        kept, found = run(texts)
        seconds.append(time.perf_counter() - start)
    wanted = {(first, copy) for copy, first in enumerate(original) if first >= 0}
    recall = None if found is None else len(found & wanted) / len(wanted)
    print(json.dumps({"seconds": min(seconds), "kept": kept, "recall": recall, "load": load}))


def compare(rows: int, repeat: int) -> None:
    """Print the table of all contenders."""
    truth = rows - 2 * (rows // 10)
    print(f"\n{rows} texts, {rows // 10} exact copies, {rows // 10} with one word changed")
    print(f"{'contender':32} {'seconds':>8} {'kept':>8} {'truth':>8} {'recall':>8} {'load':>6}")
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
        recall = "-" if found["recall"] is None else f"{found['recall']:.4f}"
        print(
            f"{contender:32} {found['seconds']:8.2f} {found['kept']:8} {truth:8} {recall:>8} "
            f"{found['load']:6.1f}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=list(CONTENDERS), help="run one, in this process")
    parser.add_argument("--doubling", action="store_true", help="sizes that double, ours alone")
    parser.add_argument("--largest", type=int, default=1_600, help="reports of --doubling")
    chosen = parser.parse_args()
    if chosen.doubling:
        double(chosen.largest)
        return
    if chosen.only:
        measure(chosen.only, chosen.rows, chosen.repeat)
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    compare(chosen.rows, chosen.repeat)


if __name__ == "__main__":
    main()

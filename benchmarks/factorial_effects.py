"""Fit the effects of the factorial, and compare them with what was predicted.

    python -m benchmarks.factorial_effects OUT

Reads what `python -m benchmarks.factorial OUT` wrote and prints Markdown tables: what each arm
gains and needs on average at every level, each effect with its interval and the predicted sign,
and the figures by which a pool is diagnosed.

An effect is fitted by least squares to all pools of all seeds: main effects (change from the lowest
to the highest level), their two-way interactions, and the seed. Its variance is that of the fit,
which holds draws and pools, plus that of a bootstrap over the test split's pictures, which are the
same in all pools of a seed.
"""

from __future__ import annotations

import argparse
import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import isotonic_regression
from scipy.stats import t as student

SMALL: Final = 0.1
MARGIN: Final = 0.02
RESAMPLES: Final = 400
EFFECTS: Final = ("redundancy", "noise", "imbalance")
PAIRS: Final = ("redundancy:noise", "redundancy:imbalance", "noise:imbalance")
NAME: Final = re.compile(r"s(\d+)-c(\d+)-w(\d+)-i(\d+)")
PREDICTIONS: Final = Path(__file__).with_name("factorial_predictions.csv")


@dataclass(frozen=True)
class ProbedPool:
    """A pool's accuracies (1 + resamples,) by arm and size; the first are of all questions."""

    seed: int
    copies: int
    wrong: int
    imbalance: int
    accuracy: dict[tuple[str, int], np.ndarray]
    all_rows: int
    kept: int
    figures: dict[str, float]

    @property
    def small(self) -> int:
        """The size of a tenth of the distinct rows."""
        sizes = sorted(size for arm, size in self.accuracy if arm == "top_score")
        return sizes[1]

    def gain(self, arm: str) -> np.ndarray:
        """Return the accuracy of an arm less that of random, at a tenth of the distinct rows."""
        return self.accuracy[arm, self.small] - self.accuracy["random", self.small]

    def share(self, arm: str) -> np.ndarray:
        """Return the log2 of the smallest share of all rows that is within the margin of all."""
        curve = {size: values for (name, size), values in self.accuracy.items() if name == arm}
        # Every arm ends in the whole pool, and random in all rows.
        last = ("full", self.all_rows) if arm == "random" else ("dedup_random", self.kept)
        curve[last[1]] = self.accuracy[last]
        sizes = np.array(sorted(curve))
        values = np.stack([curve[size] for size in sizes.tolist()], axis=1)
        target = self.accuracy["full", self.all_rows] - MARGIN
        return np.array(
            [
                _first_reaching(np.log2(sizes), isotonic_regression(row).x, goal)
                for row, goal in zip(values, target, strict=True)
            ]
        ) - np.log2(self.all_rows)


def _first_reaching(sizes: np.ndarray, rising: np.ndarray, goal: float) -> float:
    """Return where a rising curve reaches a goal: linear in the logarithm, the last if nowhere."""
    if rising[-1] < goal:
        return float(sizes[-1])
    place = int(np.argmax(rising >= goal))
    if place == 0:
        return float(sizes[0])
    part = (goal - rising[place - 1]) / (rising[place] - rising[place - 1])
    return float(sizes[place - 1] + part * (sizes[place] - sizes[place - 1]))


def load(path: Path, weights: dict[int, np.ndarray]) -> ProbedPool:
    """Read a pool; `weights` keeps each seed's resamples, which all its pools share."""
    match = NAME.fullmatch(path.stem)
    assert match is not None, path
    seed, copies, wrong, imbalance = (int(part) for part in match.groups())
    rows = pq.read_table(path).to_pylist()
    cluster = np.array(rows[0]["cluster"])
    width = int(cluster.max()) + 1
    if seed not in weights:
        drawn = np.random.default_rng(seed).multinomial(width, [1 / width] * width, RESAMPLES)
        weights[seed] = np.concatenate([np.ones((1, width)), drawn])
    count = weights[seed] @ np.bincount(cluster)
    accuracy = {
        (row["arm"], row["samples"]): weights[seed]
        @ np.bincount(cluster, weights=row["right"])
        / count
        for row in rows
    }
    names = ("redundancy", "coverage", "doubts", "evenness", "largest", "smallest")
    figures = {name: rows[0][name] for name in names}
    facts = (rows[0]["all_rows"], rows[0]["kept"], figures)
    return ProbedPool(seed, copies, wrong, imbalance, accuracy, *facts)


def design(pools: list[ProbedPool]) -> np.ndarray:
    """Return the columns of the fit: mean, three effects, three interactions, the seeds but one."""
    levels = np.array(
        [[np.log10(p.copies), p.wrong / 30, np.log10(p.imbalance) / np.log10(20)] for p in pools]
    )
    centred = levels - 0.5
    pairs = [centred[:, 0] * centred[:, 1], centred[:, 0] * centred[:, 2]]
    pairs.append(centred[:, 1] * centred[:, 2])
    seeds = sorted({p.seed for p in pools})[1:]
    blocks = [[float(p.seed == seed) - 1 / (len(seeds) + 1) for seed in seeds] for p in pools]
    return np.column_stack([np.ones(len(pools)), centred, *pairs, np.array(blocks)])


def fit(columns: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients (c,) and half the width of their 95% intervals (c,).

    `outcome` (pools, 1 + resamples).
    """
    inverse = np.linalg.inv(columns.T @ columns)
    every = inverse @ columns.T @ outcome
    left = len(columns) - columns.shape[1]
    spread = ((outcome[:, 0] - columns @ every[:, 0]) ** 2).sum() / left
    variance = spread * np.diag(inverse) + every[:, 1:].var(axis=1, ddof=1)
    return every[:, 0], student.ppf(0.975, left) * np.sqrt(variance)


def outcomes(pools: list[ProbedPool], outcome: str, arm: str) -> np.ndarray:
    """Return an arm's outcome (pools, 1 + resamples): points of accuracy, or doublings."""
    if outcome == "gain":
        return 100 * np.stack([pool.gain(arm) for pool in pools])
    return np.stack([pool.share(arm) for pool in pools])


def judge(sign: str, value: float, half: float) -> str:
    """Return whether a predicted sign holds, failed, or is open."""
    clear = abs(value) > half
    if sign == "0":
        return "failed" if clear else "open"
    if not clear:
        return "open"
    return "holds" if (value > 0) == (sign == "+") else "failed"


def effects_table(pools: list[ProbedPool]) -> tuple[list[str], list[list[str]]]:
    """Return the lines of the effects, and each prediction with its outcome."""
    columns, lines, judged = design(pools), [], []
    with PREDICTIONS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value, half = fit(columns, outcomes(pools, row["outcome"], row["arm"]))
            cells = [f"{value[0]:+.1f}"]
            for number, name in enumerate((*EFFECTS, *PAIRS), 1):
                verdict = judge(row[name], value[number], half[number])
                judged.append([row["outcome"], row["arm"], name, row[name], verdict])
                mark = {"failed": " **failed**", "holds": " holds", "open": ""}[verdict]
                cells.append(f"{row[name]}: {value[number]:+.1f} ± {half[number]:.1f}{mark}")
            lines.append("| " + " | ".join([row["outcome"], f"`{row['arm']}`", *cells]) + " |")
    return lines, judged


def level_table(pools: list[ProbedPool], outcome: str, arms: list[str]) -> list[str]:
    """Return each arm's mean outcome at every level; shares as per cent of all rows."""
    lines = []
    for arm in arms:
        values = outcomes(pools, outcome, arm)[:, 0]
        cells = []
        for name in ("copies", "wrong", "imbalance"):
            of_pool = np.array([getattr(pool, name) for pool in pools])
            for level in sorted(set(of_pool.tolist())):
                mean = values[of_pool == level].mean()
                cells.append(f"{mean:+.1f}" if outcome == "gain" else f"{100 * 2**mean:.0f} %")
        lines.append(f"| `{arm}` | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    folder = parser.parse_args().out
    weights: dict[int, np.ndarray] = {}
    paths = sorted(path for path in folder.glob("*.parquet") if NAME.fullmatch(path.stem))
    pools = [load(path, weights) for path in paths]
    arms = sorted({arm for arm, _ in pools[0].accuracy} - {"random", "full"})
    print(f"{len(pools)} pools\n")
    for outcome, listed in (("gain", arms), ("share", ["random", *arms])):
        print(f"## {outcome} by level\n")
        print("\n".join(level_table(pools, outcome, listed)) + "\n")
    lines, judged = effects_table(pools)
    print("## effects\n")
    print("| outcome | arm | mean | " + " | ".join((*EFFECTS, *PAIRS)) + " |")
    print("|---" * 9 + "|\n" + "\n".join(lines) + "\n")
    for sign in ("+", "-", "0"):
        verdicts = [line[-1] for line in judged if line[3] == sign]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("holds", "failed", "open"))
        print(f"predicted {sign}: {counts}")
    print("\n## accuracy and figures of each pool\n")
    for pool in pools:
        full, small = (
            100 * pool.accuracy[key][0] for key in (("full", pool.all_rows), ("random", pool.small))
        )
        figures = ", ".join(f"{name} {value:.3g}" for name, value in pool.figures.items())
        print(
            f"s{pool.seed} x{pool.copies} {pool.wrong} % 1:{pool.imbalance}: full {full:.1f} %, "
            f"random {small:.1f} %, kept {pool.kept} of {pool.all_rows}; {figures}"
        )


if __name__ == "__main__":
    main()

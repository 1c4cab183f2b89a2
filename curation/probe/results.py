"""Summarise the probe's answers: accuracy, differences to random and to everything, efficiency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.probe.efficiency import Efficiency, data_efficiency
from curation.probe.settings import FULL, RANDOM
from medsift.arrays import Doubles, Indices
from medsift.statistics import difference, non_inferiority, seeded_interval

ALL: Final = "all"
FACETS: Final = ("modality", "task_type", "answer_type")
FEW: Final = 30
"""Asked samples below which a facet's value gets no line: its interval would say nothing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm at one budget: is each asked sample answered rightly, in each draw (draws, n)?

    `samples` is the mean size of the training subsets over folds.
    """

    arm: str
    budget: float
    samples: float
    correct: Doubles


@dataclass(frozen=True, slots=True)
class ProbeAnswers:
    """All cells of a probe, and what its n asked samples are.

    `asked` has a row for each: `sample_id`, the facets; `cluster` (n,) is its group of pictures or
    patients.
    """

    cells: Sequence[Cell]
    asked: pa.Table
    cluster: Indices

    def cell(self, arm: str, budget: float) -> Cell:
        """Return the cell of an arm at a budget. Raises KeyError where there is none."""
        found = self.find(arm, budget)
        if found is None:
            raise KeyError((arm, budget))
        return found

    def find(self, arm: str | None, budget: float) -> Cell | None:
        """Return the cell of an arm at a budget, or None: only random ones have every budget."""
        cells = (cell for cell in self.cells if (cell.arm, cell.budget) == (arm, budget))
        return next(cells, None)

    @property
    def full(self) -> Cell:
        """The cell trained on everything."""
        return next(cell for cell in self.cells if cell.arm == FULL)


def result_rows(
    answers: ProbeAnswers, margin: float, seed: int, versus: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a row for each arm and budget, over all asked samples and by each facet's values.

    Differences are between answers to the same samples, so that what is hard for both cancels;
    intervals are clustered by group and hold the variance between draws (`difference`).

    Args:
        answers: what every arm answered.
        margin: accuracy that an arm may lose against all rows and still be non-inferior.
        seed: of the efficiency's resampling.
        versus: an arm with which the others are compared too.
    """
    efficiency = _efficiencies(answers, seed)
    for facet, value, asked in _parts(answers.asked):
        cluster = answers.cluster[asked].tolist()
        full = answers.full.correct[:, asked]
        for cell in answers.cells:
            correct = cell.correct[:, asked]
            estimate = seeded_interval(correct, cluster)
            row: dict[str, Any] = {
                "arm": cell.arm,
                "budget": cell.budget,
                "samples": cell.samples,
                "facet": facet,
                "facet_value": value,
                "trainings": len(correct),
                "accuracy": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "clusters": estimate.clusters,
            }
            if cell.arm != FULL:
                row |= _differences(correct, full, cluster, "full", margin)
                if cell.arm != RANDOM:
                    random = answers.cell(RANDOM, cell.budget).correct[:, asked]
                    row |= _differences(correct, random, cluster, "random")
                other = answers.find(versus, cell.budget)
                if other is not None and cell.arm != versus:
                    row |= _differences(correct, other.correct[:, asked], cluster, "versus")
            if facet == ALL and (cell.arm, cell.budget) in efficiency:
                row |= _efficiency_columns(efficiency[cell.arm, cell.budget])
            yield row


def _differences(
    correct: Doubles, other: Doubles, cluster: list[int], name: str, margin: float | None = None
) -> dict[str, Any]:
    gap = difference(correct, other, cluster)
    columns: dict[str, Any] = {
        f"{name}_difference": gap.value,
        f"{name}_low": gap.low,
        f"{name}_high": gap.high,
    }
    if margin is not None:
        columns["non_inferiority"] = non_inferiority(gap, margin)
    return columns


def _efficiency_columns(efficiency: Efficiency) -> dict[str, Any]:
    return {
        "efficiency": efficiency.value,
        "efficiency_low": efficiency.low,
        "efficiency_high": efficiency.high,
        "efficiency_beyond": efficiency.beyond,
    }


def _efficiencies(answers: ProbeAnswers, seed: int) -> Mapping[tuple[str, float], Efficiency]:
    """Return the efficiency of each arm at each budget, read off the curve of `random`."""
    curve = {cell.samples: cell.correct for cell in answers.cells if cell.arm in (RANDOM, FULL)}
    found: dict[tuple[str, float], Efficiency] = {}
    for arm in dict.fromkeys(cell.arm for cell in answers.cells):
        if arm in (RANDOM, FULL):
            continue
        cells = [cell for cell in answers.cells if cell.arm == arm]
        selected = {cell.samples: cell.correct for cell in cells}
        values = data_efficiency(selected, curve, answers.cluster, seed=seed)
        found |= {(arm, cell.budget): values[cell.samples] for cell in cells}
    return found


def _parts(asked: pa.Table) -> Iterator[tuple[str, str | None, Indices]]:
    """Yield all asked samples, then those of each facet's value that has enough of them."""
    yield ALL, None, np.arange(asked.num_rows)
    for facet in FACETS:
        values = np.array(asked[facet].fill_null("unknown").to_pylist(), dtype=object)
        names, counts = np.unique(values.astype(str), return_counts=True)
        if len(names) > 1:
            for name in names[counts >= FEW]:
                yield facet, str(name), np.flatnonzero(values == name)

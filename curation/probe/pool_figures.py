"""Measure how redundant, noisy and imbalanced a pool is, without knowing the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.probe.heap import Heap
from curation.recipe import Recipe
from curation.scoring.label_noise import LabelNoiseConfig
from curation.selection.coverage import measure_coverage
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.method import Candidates
from curation.selection.quotas import QuotasConfig
from curation.selection.row_picker import RowPicker
from curation.stage_outputs import Upstream
from medsift.arrays import Doubles, Indices
from medsift.execution import Executor
from medsift.statistics import interval

SMALL_SHARE: Final = 0.1
"""Share of the pool whose coverage says how much its samples resemble each other."""
SUREST: Final = 0.25
"""Share of the judged answers about which `label_noise` is surest: the others say little."""
LEAST_JUDGED: Final = 100
"""Judged answers below which nothing is said: a quarter of them is too few."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """Given answers that other pictures contradict, among the n about which they are surest.

    `share` with its 95% interval `low` to `high`, by group of pictures or patients; `judged`
    counts the answers that the scorer could judge at all.
    """

    share: float
    low: float | None
    high: float | None
    n: int
    judged: int


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """What a pool is like: deduplication left `samples` of `rows`.

    `coverage` is what a tenth of the pool covers of it, picked by facility location. `judged`
    counts the answers that `label_noise` judged; where they are too few, or the run lacks the
    score, `doubts` is None. The strata are as uneven as `effective_strata` equal ones would be.
    """

    rows: int
    samples: int
    coverage: float
    doubts: Doubts | None
    strata: int
    effective_strata: float
    largest: int
    smallest: int

    @property
    def redundancy(self) -> float:
        """Rows for each sample that is left after deduplication."""
        return self.rows / self.samples

    @property
    def evenness(self) -> float:
        """Effective strata over strata: 1 where all are equally large."""
        return self.effective_strata / self.strata


def pool_figures(
    heap: Heap, candidates: Candidates, doubts: Doubts | None, executor: Executor
) -> PoolFigures:
    """Measure a pool.

    Args:
        heap: The pool, and the copies that deduplication dropped for it.
        candidates: The pool with its neighbour graph.
        doubts: What `read_doubts` returns.
        executor: Where facility location runs.
    """
    sizes = np.array(list(Counter(candidates.pool.strata).values()))
    shares = sizes / sizes.sum()
    method, quotas = FacilityLocationConfig(quality_weight=0.0), QuotasConfig(kind="none")
    picker = RowPicker(candidates, method, quotas, np.ones(len(candidates)), 0, executor)
    tenth = picker.pick(max(1, round(SMALL_SHARE * len(candidates)))).order
    return PoolFigures(
        rows=len(heap),
        samples=len(candidates),
        coverage=measure_coverage(candidates, tenth),
        doubts=doubts,
        strata=len(sizes),
        # The exponential of the entropy: k equal strata count as k (Hill 1973, "Diversity and
        # evenness", order 1).
        effective_strata=float(np.exp(-(shares * np.log(shares)).sum())),
        largest=int(sizes.max()),
        smallest=int(sizes.min()),
    )


def read_doubts(upstream: Upstream, recipe: Recipe, heap: Heap) -> Doubts | None:
    """Return how often the run's `label_noise` contradicts the given answers where it is surest.

    None where the run has no such score.
    """
    rates = [one.noise_rate for one in recipe.scores.scorers if isinstance(one, LabelNoiseConfig)]
    if not rates or "score" not in upstream:
        return None
    scores = upstream.score.scores.read(["sample_id", "scorer", "value"])
    scorers, values = scores["scorer"].to_pylist(), scores["value"].to_pylist()
    value = {
        sample: number
        for sample, scorer, number in zip(
            scores["sample_id"].to_pylist(), scorers, values, strict=True
        )
        if scorer == "label_noise" and number is not None
    }
    ids = heap.samples.sample_ids
    rows = np.array([row for row in np.flatnonzero(heap.in_pool) if ids[row] in value], np.int64)
    wrong = np.array([value[ids[row]] for row in rows.tolist()], np.float64)
    return measure_doubts(wrong, heap.group[rows], rates[0])


def measure_doubts(wrong: Doubles, group: Indices, rate: float) -> Doubts | None:
    """Return the share of contradicted answers among the surest quarter; None of too few answers.

    The odds that an answer is wrong, over the odds before looking, are how strongly other pictures
    speak against it, or for it where they are below 1. Where pictures decide a question, that
    speaks strongly either way, and the strong voices contradict right answers seldom and wrong
    ones nearly always: their share estimates that of wrong answers. Where all voices are weak the
    questions are hard, and the share is an upper bound.

    Args:
        wrong: Probability (m,) that each judged answer is wrong, as `label_noise` gives it.
        group: Group (m,) of pictures or patients.
        rate: Share of wrong answers that the scorer expected before looking.
    """
    if len(wrong) < LEAST_JUDGED:
        return None
    # Certainty is beyond what a scorer of six decimals can say.
    bounded = np.clip(wrong, 1e-6, 1.0 - 1e-6)
    against = np.log(bounded / (1.0 - bounded)) - np.log(rate / (1.0 - rate))
    surest = np.argsort(-np.abs(against), kind="stable")[: round(SUREST * len(wrong))]
    contradicted = (against[surest] > 0.0).astype(np.float64)
    estimate = interval(contradicted, group[surest].tolist())
    share = float(contradicted.mean())
    return Doubts(share, estimate.low, estimate.high, estimate.n, len(wrong))

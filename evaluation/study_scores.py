"""Line up the trials of a study: the score of every trial on the very same items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.records import ORIGINAL
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError
from medsift.statistics import cluster_ids
from medsift.statistics.matching import match_items
from medsift.statistics.rank_agreement import ScoredCells

FULL: Final = "full"
UNTRAINED: Final = "untrained"
RANDOM: Final = "random"
BASELINES: Final = (RANDOM, "stratified_random", "longest")


@dataclass(frozen=True, slots=True)
class Trial:
    """One model of the study on all benchmarks: how it came about, and its scored predictions.

    `budget` is as the recipe writes it; the untrained model has no samples and one seed.
    """

    arm: str
    budget: str
    samples: int
    seed: int
    predictions: pa.Table


@dataclass(frozen=True, slots=True)
class TrialGroup:
    """The trials of one arm at one budget: rows (s,) of the score matrix, by seed."""

    arm: str
    budget: str
    samples: int
    rows: Indices


@dataclass(frozen=True, slots=True)
class LinedUp:
    """Trials in the order of their size, on the same n items in all variants.

    `scores` and `unread` are (trials, n); the latter is 1.0 where a reply could not be read.
    `known` (n,) says which items have scores.
    """

    items: pa.Table
    scores: Doubles
    unread: Doubles
    known: NDArray[np.bool_]
    groups: Sequence[TrialGroup]

    def benchmarks(self) -> Iterator[tuple[str, Indices]]:
        """Yield each benchmark with the places (m,) of its known items."""
        for name in sorted(pc.unique(self.items["benchmark"]).to_pylist()):
            own = pc.equal(self.items["benchmark"], name).to_numpy()
            yield name, np.flatnonzero(self.known & own)


def line_up(trials: Sequence[Trial]) -> LinedUp:
    """Return the scores of all trials, item by item. The order of trials changes nothing.

    Raises UsageError for a trial given twice, items that do not match, or replies that only some
    trials have a score for.
    """
    ordered = sorted(trials, key=_order)
    _check_once(ordered)
    tables = [one.predictions for one in ordered]
    matched = match_items([tables, tables[:1]], "score")[0]
    columns = [pc.fill_null(table["score"].cast(pa.float64()), np.nan) for table in matched]
    scores: Doubles = np.stack([column.to_numpy() for column in columns])
    statuses = [pc.equal(table["parse_status"], "unparsed") for table in matched]
    unread = np.stack([column.to_numpy() for column in statuses]).astype(np.float64)
    known = _known(matched[0], scores)
    return LinedUp(matched[0], scores, unread, known, _groups(ordered))


def scored_cells(lined: LinedUp, places: Indices, cells: Sequence[tuple[str, str]]) -> ScoredCells:
    """Return the scores of cells (arm and budget) on the unchanged items of a benchmark.

    Args:
        lined: the trials.
        places: the items of the benchmark.
        cells: arm and budget of each, as the recipe writes it. KeyError for one without trials.
    """
    variants = pc.fill_null(lined.items["variant"].take(pa.array(places)), ORIGINAL)
    asked = places[pc.equal(variants, ORIGINAL).to_numpy()]
    rows = {(group.arm, group.budget): group.rows for group in lined.groups}
    clusters = cluster_ids(lined.items.take(pa.array(asked)))
    return ScoredCells([lined.scores[rows[cell]][:, asked] for cell in cells], clusters)


def _order(trial: Trial) -> tuple[Any, ...]:
    """By size; studied arms before baselines."""
    baseline = trial.arm in BASELINES
    place = BASELINES.index(trial.arm) if baseline else 0
    return trial.samples, baseline, place, trial.arm, trial.budget, trial.seed


def _groups(trials: Sequence[Trial]) -> list[TrialGroup]:
    held: dict[tuple[str, str, int], list[int]] = {}
    for row, one in enumerate(trials):
        held.setdefault((one.arm, one.budget, one.samples), []).append(row)
    return [TrialGroup(*key, np.array(rows, np.int64)) for key, rows in held.items()]


def _check_once(trials: Sequence[Trial]) -> None:
    if not trials:
        raise UsageError(
            "a study needs trials; none has finished", code="study_trials_unfit", trials=0
        )
    counts = Counter((one.arm, one.budget, one.seed) for one in trials)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        arm, budget, seed = twice[0]
        raise UsageError(
            f"trial {arm} at {budget} with seed {seed} is given twice; pass it once",
            code="study_trials_unfit",
            twice=[arm, budget, seed],
        )


def _known(items: pa.Table, scores: Doubles) -> NDArray[np.bool_]:
    """Which items (n,) trials have scores (trials, n) for. Raises UsageError where some have."""
    unknown = np.isnan(scores)
    known = np.asarray(~unknown.all(0))
    some = np.flatnonzero(unknown.any(0) & known)
    if len(some):
        item = items["item_id"][int(some[0])].as_py()
        raise UsageError(
            f"{len(some):,} items have a score in some trials alone, first {item}: the protocol "
            "leaves out replies that it cannot read; use strict",
            code="study_trials_unfit",
            items=len(some),
            first=item,
        )
    return known

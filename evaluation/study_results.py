"""Is the small set enough? Trials of several arms, budgets and seeds become a study's results.

An arm is a way to select. Next to those that are studied stand the baselines at the same budgets,
the model trained on everything (`full`) and the one that was not trained at all (`untrained`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.metrics_table import with_facets
from evaluation.recipe import split_facet
from evaluation.records import ORIGINAL
from evaluation.study_scores import BASELINES, FULL, RANDOM, UNTRAINED, Trial, TrialGroup, line_up
from medsift.arrays import Doubles, Indices
from medsift.manifest.schema import arrow_schema
from medsift.statistics import (
    FACETS,
    Difference,
    Resampling,
    cluster_ids,
    difference,
    non_inferiority,
    seeded_interval,
    superiority,
)
from medsift.statistics.breakdown import ALL, Facet
from medsift.statistics.paired import check_margin
from medsift.statistics.power import shown_by

NON_INFERIORITY: Final = "non-inferiority"
SUPERIORITY: Final = "superiority"
SIGNED: Final = (-1.0, 1.0)

RESULTS: Final = arrow_schema("study_results", without=("study_id",))
"""The manifest's table `study_results`: scores (`versus` is null), and comparisons of two arms."""

Line = dict[str, Any]
Places = Indices | NDArray[np.bool_]


def study_results(
    trials: Sequence[Trial],
    margin: float,
    facets: Sequence[str] = FACETS,
    resampling: Resampling | None = None,
    controls: Sequence[str] = (),
) -> pa.Table:
    """The results of a study: table RESULTS. The order of trials changes nothing.

    Of each arm and budget on each benchmark: accuracy over all seeds, also by facet and variant,
    and what a variant takes away; the difference to full data with a verdict whether it is no
    worse by the margin; to the baselines at the same budget whether it is better. Of full data
    whether training was any use: whether it is better than the untrained model.

    Args:
        trials: all models on the same items, in the same variants.
        margin: how much worse still counts as no worse, in (0, 1); to be stated beforehand.
        facets: as an evaluation's: columns of predictions, keys of `extra`, or combinations.
        resampling: draws and seed of the bootstrap.
        controls: arms that other arms are compared with as with baselines.

    Raises:
        UsageError: a trial twice, items that do not match, or replies that only some trials have
            a score for; a margin outside (0, 1); an unknown facet.
    """
    check_margin(margin)
    lined = line_up(trials)
    wanted = [split_facet(facet) for facet in facets]
    items = with_facets(lined.items, wanted)
    draws = resampling or Resampling()
    lines: list[Line] = []
    for name, at in lined.benchmarks():
        own = items.take(at)
        part = (own, cluster_ids(own), lined.scores[:, at], lined.unread[:, at])
        lines += _Bench(name, *part, lined.groups, wanted, margin, draws, controls).lines()
    return pa.Table.from_pylist(lines, schema=RESULTS)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One benchmark: its items in all variants (n), scores and unread replies (trials, n)."""

    name: str
    items: pa.Table
    clusters: pa.ChunkedArray
    scores: Doubles
    unread: Doubles
    groups: Sequence[TrialGroup]
    facets: Sequence[Facet]
    margin: float
    resampling: Resampling
    controls: Sequence[str]

    def lines(self) -> list[Line]:
        variants = np.array(pc.fill_null(self.items["variant"], ORIGINAL).to_pylist(), str)
        original = np.flatnonzero(variants == ORIGINAL)
        others = {
            str(name): np.flatnonzero(variants == name)
            for name in sorted(set(variants) - {ORIGINAL})
        }
        cells = list(self._cells(original))
        found: list[Line] = []
        for group in self.groups:
            found.append(self._score(group, original))
            for variant, places in others.items():
                found.append(self._score(group, places, variant=variant))
                found.append(self._drop(group, variant, places, original))
            found += [self._score(group, at, facet, value) for facet, value, at in cells]
            found += self._comparisons(group, original, cells)
        return found

    def _score(
        self,
        group: TrialGroup,
        places: Places,
        facet: str = ALL,
        value: str | None = ALL,
        variant: str = ORIGINAL,
    ) -> Line:
        """A line of accuracy."""
        runs = self.scores[group.rows][:, places]
        found = seeded_interval(runs, self._clusters(places), self.resampling)
        rate = float(self.unread[group.rows][:, places].mean()) if found.n else None
        head = self._head(group, variant, facet, value)
        return head | {"metric": "accuracy", "unparsed_rate": rate} | asdict(found)

    def _drop(self, group: TrialGroup, variant: str, places: Indices, original: Indices) -> Line:
        """What a variant takes away from the score of the items it can be made of."""
        ids = self.items["item_id"].to_pylist()
        as_published = {ids[at]: at for at in original.tolist()}
        before = np.array([as_published[ids[at]] for at in places.tolist()], np.int64)
        runs = self.scores[group.rows]
        lost = runs[:, before] - runs[:, places]
        found = seeded_interval(lost, self._clusters(places), self.resampling, SIGNED)
        return self._head(group, variant) | {"metric": "drop"} | asdict(found)

    def _comparisons(
        self, group: TrialGroup, original: Indices, cells: Sequence[tuple[str, str | None, Indices]]
    ) -> Iterator[Line]:
        for versus, test in rivals(group.arm, self.controls):
            # Full data and the untrained model have one budget; a baseline is met at the same.
            anywhere = versus in (FULL, UNTRAINED)
            matching = (
                one
                for one in self.groups
                if one.arm == versus and (anywhere or one.budget == group.budget)
            )
            if (other := next(matching, None)) is None:
                continue
            yield self._comparison(group, other, original, test=test)
            for facet, value, at in cells if versus == FULL else ():
                yield self._comparison(group, other, at, facet, value)

    def _comparison(
        self,
        group: TrialGroup,
        other: TrialGroup,
        places: Indices,
        facet: str = ALL,
        value: str | None = ALL,
        test: str | None = None,
    ) -> Line:
        """A line of the difference to another arm; a test adds what that shows, and could show."""
        first, second = (self.scores[one.rows][:, places] for one in (group, other))
        clusters, draws = self._clusters(places), self.resampling
        found = difference(first, second, clusters, draws)
        line = self._head(group, ORIGINAL, facet, value) | {
            "metric": "accuracy",
            "value": found.first,
            "n": found.n,
            "clusters": found.clusters,
            "versus": other.arm,
            "versus_value": found.second,
            "difference": found.value,
            "diff_low": found.low,
            "diff_high": found.high,
        }
        if test is None:
            return line
        steady = difference(first.mean(0), second.mean(0), clusters, draws)
        no_worse = test == NON_INFERIORITY
        return line | {
            "test": test,
            "margin": self.margin if no_worse else None,
            "verdict": non_inferiority(found, self.margin) if no_worse else superiority(found),
            "detectable": _detectable(found),
            "detectable_by_items": _detectable(steady),
        }

    def _cells(self, places: Indices) -> Iterator[tuple[str, str | None, Indices]]:
        """Facet, value and places of every cell; a facet that names nothing has none."""
        for facet in self.facets:
            names = (facet,) if isinstance(facet, str) else facet
            columns = [self.items[name].cast(pa.string()).take(places) for name in names]
            values = pc.binary_join_element_wise(*columns, " / ").to_pylist()
            if not any(values):
                continue
            tags = np.array(values, object)
            for value in sorted(set(values), key=lambda one: (one is None, one or "")):
                yield " / ".join(names), value, places[tags == value]

    def _clusters(self, places: Places) -> pa.ChunkedArray:
        return self.clusters.take(pa.array(places))

    def _head(
        self, group: TrialGroup, variant: str, facet: str = ALL, value: str | None = ALL
    ) -> Line:
        return {
            "arm": group.arm,
            "budget": group.budget,
            "samples": group.samples,
            "seeds": len(group.rows),
            "benchmark": self.name,
            "variant": variant,
            "facet": facet,
            "facet_value": value,
        }


def rivals(arm: str, controls: Sequence[str] = ()) -> list[tuple[str, str]]:
    """The arms that an arm is compared with, and by which test; `controls` are among its own."""
    if arm == UNTRAINED:
        return []
    if arm == FULL:
        return [(UNTRAINED, SUPERIORITY)]
    others = (RANDOM,) if arm in BASELINES else (*BASELINES, *controls)
    beaten = [(other, SUPERIORITY) for other in others if other != arm]
    return [(FULL, NON_INFERIORITY), *beaten]


def _detectable(found: Difference) -> float | None:
    if found.low is None or found.high is None:
        return None
    return shown_by((found.high - found.low) / 2)

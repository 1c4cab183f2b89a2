"""Read the report's facts about scores and selections: strata, curves and comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from curation.compare import Comparison, compare
from curation.compare.comparison import selection_names
from medsift.manifest.any_version import Line, ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_COMPARED: Final = 6
MAX_STRATA: Final = 40
"""The page shows so many strata of a selection, the largest first."""
LENGTH: Final = "answer_length"
STRONG: Final = 0.5
"""Absolute rank correlation with answer length above which a score is flagged."""

CORRELATIONS: Final = """
SELECT scorer, other, rho, n FROM correlations WHERE run_id = $run ORDER BY scorer, other
"""
CURVES: Final = """
SELECT selection, size, tokens, coverage FROM curves
WHERE run_id = $run AND coverage IS NOT NULL AND list_contains($names, selection)
ORDER BY selection, size
"""
CHOSEN: Final = """
SELECT selection, method, budget, selected, coverage FROM selection_settings
WHERE run_id = $run AND list_contains($names, selection)
"""
STRATA: Final = """
SELECT stratum, pool, selected, weight, pool / nullif(sum(pool) OVER (), 0) AS pool_share,
       selected / nullif(sum(selected) OVER (), 0) AS selected_share, count(*) OVER () AS strata
FROM coverage WHERE run_id = $run AND selection = $selection
ORDER BY pool DESC, stratum LIMIT $limit
"""


@dataclass(frozen=True, slots=True)
class SelectionFacts:
    """Correlations between scores, and facts of each selection.

    Attributes:
        correlations: Lines (scorer, other, rho, n).
        names: The newest selections, at most `MAX_COMPARED`, oldest first.
        hidden: How many older ones the page leaves out.
        strata: The largest strata of each selection: lines (stratum, pool, selected, weight,
            pool_share, selected_share, strata: how many there are).
        curves: Lines (size, tokens, coverage) by size, for each selection that has a curve.
        chosen: The settings of each selection whose size and coverage are known.
        comparison: None for fewer than two selections.
    """

    correlations: list[Line]
    names: list[str]
    hidden: int
    strata: dict[str, list[Line]]
    curves: dict[str, list[Line]]
    chosen: dict[str, Line]
    comparison: Comparison | None

    @property
    def long_winded(self) -> list[Line]:
        """`STRONG` correlations with answer length, of scores that prefer long or short answers."""
        lines = (line for line in self.correlations if line["other"] == LENGTH)
        return [line for line in lines if line["rho"] is not None and abs(line["rho"]) > STRONG]


def read_selections(con: DuckDBPyConnection, run_id: str) -> SelectionFacts:
    """Read everything that the page shows of scores and selections."""
    every = selection_names(con, run_id)
    names = every[-MAX_COMPARED:]
    curves: dict[str, list[Line]] = {}
    for line in ask(con, CURVES, run=run_id, names=names):
        curves.setdefault(line.pop("selection"), []).append(line)
    chosen = ask(con, CHOSEN, run=run_id, names=names)
    return SelectionFacts(
        correlations=ask(con, CORRELATIONS, run=run_id),
        names=names,
        hidden=len(every) - len(names),
        strata={
            name: ask(con, STRATA, run=run_id, selection=name, limit=MAX_STRATA) for name in names
        },
        curves=curves,
        chosen={line["selection"]: line for line in chosen if line["coverage"] is not None},
        comparison=compare(con, run_id, names) if len(names) > 1 else None,
    )

"""Describe selections in the report: their strata, their curves, and how they compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from curation.compare import Comparison, compare
from curation.compare.comparison import selection_names
from medsift.manifest.any_version import Line, ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COMPARED: Final = 6
STRATA: Final = 40
"""The largest strata of a selection are shown."""
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
STRATA_SQL: Final = """
SELECT stratum, pool, selected, weight, pool / nullif(sum(pool) OVER (), 0) AS pool_share,
       selected / nullif(sum(selected) OVER (), 0) AS selected_share, count(*) OVER () AS strata
FROM coverage WHERE run_id = $run AND selection = $selection
ORDER BY pool DESC, stratum LIMIT $limit
"""


@dataclass(frozen=True, slots=True)
class SelectionFacts:
    """Scores against each other, and each selection.

    Attributes:
        correlations: lines (scorer, other, rho, n).
        names: the newest selections, at most `COMPARED`, oldest first; `hidden` are left out.
        strata: for each of them the largest strata: lines (stratum, pool, selected, weight,
            pool_share, selected_share, strata: how many there are).
        curves: for each that has one, lines (size, tokens, coverage) by size.
        chosen: for each whose size and coverage are known, its settings.
        comparison: None when there are fewer than two.
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
        """Correlations with answer length that are `STRONG`: what prefers long or short answers."""
        lines = (line for line in self.correlations if line["other"] == LENGTH)
        return [line for line in lines if line["rho"] is not None and abs(line["rho"]) > STRONG]


def read_selections(con: DuckDBPyConnection, run_id: str) -> SelectionFacts:
    """Ask the manifest for everything that the page tells about scores and selections."""
    every = selection_names(con, run_id)
    names = every[-COMPARED:]
    curves: dict[str, list[Line]] = {}
    for line in ask(con, CURVES, run=run_id, names=names):
        curves.setdefault(line.pop("selection"), []).append(line)
    chosen = ask(con, CHOSEN, run=run_id, names=names)
    return SelectionFacts(
        correlations=ask(con, CORRELATIONS, run=run_id),
        names=names,
        hidden=len(every) - len(names),
        strata={
            name: ask(con, STRATA_SQL, run=run_id, selection=name, limit=STRATA) for name in names
        },
        curves=curves,
        chosen={line["selection"]: line for line in chosen if line["coverage"] is not None},
        comparison=compare(con, run_id, names) if len(names) > 1 else None,
    )

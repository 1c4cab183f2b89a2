"""Compute what MedEvalKit's tables say once its judge is on, next to plain means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.scoring.medevalkit import by_answer_type, is_closed
from evaluation.scoring.scored import AnswerKey
from medsift.errors import UsageError

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Accuracy on closed, open and all items of one benchmark; None where there are none.

    With the faults of a published kit a figure may exceed 1.
    """

    closed: float | None
    open: float | None
    total: float | None


def plain_totals(scored: pa.Table) -> Totals:
    """Mean scores by answer type, a choice among the closed; what is left out stays out."""
    is_open = _flags(scored, "answer_type", "open")
    values = pc.fill_null(scored["score"].cast(pa.float64()), np.nan).to_numpy()
    known = ~np.isnan(values)
    return Totals(
        closed=_share(values[known & ~is_open].sum(), known & ~is_open),
        open=_share(values[known & is_open].sum(), known & is_open),
        total=_share(values[known].sum(), known),
    )


def medevalkit_judged(scored: pa.Table, judge: str) -> Totals:
    """What MedEvalKit (commit 9b12e3b) reports for one benchmark with its judge on.

    VQA-RAD adds rule hits on closed items to judge hits on open ones. PathVQA sets its closed hits
    to zero and leaves them there. SLAKE lets the judge see closed items too and adds its hits on
    top of the rule's, so that accuracy can exceed 1.

    Args:
        scored: one benchmark, scored with protocol `medevalkit`.
        judge: name of the judge's column, 1 right and 0 wrong.

    Raises UsageError where the rows are of several benchmarks or another protocol.
    """
    benchmark = _only_benchmark(scored)
    columns = ("benchmark", "answer_type", "gold")
    rows = zip(*(scored[name].to_pylist() for name in columns), strict=True)
    closed = np.array([is_closed(AnswerKey(*row)) for row in rows], bool)
    rule, judged = _flags(scored, "score", 1.0), _flags(scored, judge, 1.0)
    closed_hits, open_hits = int((rule & closed).sum()), int((judged & ~closed).sum())
    if by_answer_type(benchmark):
        closed_hits += int((judged & closed).sum())
    elif benchmark.lower().startswith("path"):
        closed_hits = 0
    return Totals(
        closed=_share(closed_hits, closed),
        open=_share(open_hits, ~closed),
        total=_share(closed_hits + open_hits, np.ones(len(closed), bool)),
    )


def _only_benchmark(scored: pa.Table) -> str:
    names = sorted(pc.unique(scored["benchmark"]).to_pylist())
    protocols = sorted(pc.unique(scored["protocol"]).to_pylist())
    if len(names) != 1 or protocols != ["medevalkit"]:
        raise UsageError(
            f"rows of benchmarks {', '.join(names)} under {', '.join(protocols)}; pass one "
            "benchmark scored with protocol medevalkit",
            code="predictions_incomplete",
        )
    return str(names[0])


def _flags(table: pa.Table, column: str, value: object) -> Flags:
    same: Flags = pc.fill_null(pc.equal(table[column], value), False).to_numpy()
    return same


def _share(hits: float, among: Flags) -> float | None:
    return float(hits) / int(among.sum()) if among.any() else None

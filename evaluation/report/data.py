"""Read the page's figures from the manifest: evaluations with their metrics and reliability."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evaluation.records import ORIGINAL
from medsift.errors import ManifestError
from medsift.manifest import evaluation_queries as queries
from medsift.manifest.any_version import Line, ask
from medsift.statistics.breakdown import ALL

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ACCURACY: Final = "accuracy"

Key = tuple[str, str]
"""Evaluation and benchmark: together they are one model on one benchmark."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one benchmark.

    Attributes:
        name: the model's, or the evaluation's where two of one model are on the page.
        row: its row of `evaluations`.
        metrics: its rows of `metrics`.
        bins: its rows of `reliability`, in order.
    """

    name: str
    row: Line
    metrics: Sequence[Line]
    bins: Sequence[Line]

    def figure(self, metric: str = ACCURACY, variant: str = ORIGINAL) -> Line | None:
        """Return the row of a metric of the whole benchmark, None where there is none."""
        return next(iter(self._rows(metric, variant, ALL)), None)

    def facet(self, name: str) -> list[Line]:
        """Return the rows of the accuracy of the originals by a facet."""
        return self._rows(ACCURACY, ORIGINAL, name)

    def _rows(self, metric: str, variant: str, facet: str) -> list[Line]:
        wanted = (metric, variant, facet)
        return [
            row for row in self.metrics if (row["metric"], row["variant"], row["facet"]) == wanted
        ]


@dataclass(frozen=True, slots=True)
class BenchmarkResults:
    """A benchmark and the models that answered it, highest accuracy first."""

    name: str
    evaluations: Sequence[Evaluation]


@dataclass(frozen=True, slots=True)
class EvaluationPageData:
    """Everything the page shows, except the worst items."""

    run_id: str
    benchmarks: Sequence[BenchmarkResults]

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every model on every benchmark."""
        return [one for benchmark in self.benchmarks for one in benchmark.evaluations]


def choose(
    connection: DuckDBPyConnection, run_id: str | None, evaluations: Sequence[str] | None
) -> tuple[str, list[str]]:
    """Return the run, the newest with evaluations when None, and the evaluations, all when None.

    Raises ManifestError when there is no such run or evaluation.
    """
    runs = [str(row["run_id"]) for row in ask(connection, queries.PAGE_RUNS)]
    if not runs:
        raise ManifestError(
            "the manifest holds no evaluation; make one with 'medsift evaluate RECIPE'",
            code="evaluation_unknown",
            known=[],
        )
    run = runs[0] if run_id is None else run_id
    if run not in runs:
        raise ManifestError(
            f"run {run!r} has no evaluation; runs that have: {', '.join(runs)}",
            code="evaluation_unknown",
            run=run,
            known=runs,
        )
    known = [str(row["evaluation_id"]) for row in ask(connection, queries.PAGE_KNOWN, run=run)]
    chosen = known if evaluations is None else list(evaluations)
    unknown = sorted(set(chosen) - set(known))
    if unknown or not chosen:
        wrong = f"there is no evaluation {unknown[0]!r}" if unknown else "no evaluation is named"
        raise ManifestError(
            f"{wrong}; run {run} has {', '.join(known)}",
            code="evaluation_unknown",
            run=run,
            unknown=unknown,
            known=known,
        )
    return run, chosen


def read_page_data(
    connection: DuckDBPyConnection, run_id: str, chosen: Sequence[str]
) -> EvaluationPageData:
    """Read from the manifest what the page shows about evaluations of a run."""
    bound = {"run": run_id, "chosen": list(chosen)}
    rows = ask(connection, queries.PAGE_EVALUATIONS, **bound)
    metrics = _by_key(ask(connection, queries.PAGE_METRICS, **bound))
    bins = _by_key(ask(connection, queries.PAGE_RELIABILITY, **bound))
    models = Counter((row["model"], row["benchmark"]) for row in rows)
    by_benchmark: dict[str, list[Evaluation]] = defaultdict(list)
    for row in rows:
        alone = models[row["model"], row["benchmark"]] == 1
        name = str(row["model"] if alone else row["evaluation_id"])
        one = Evaluation(name, row, metrics.get(_key(row), ()), bins.get(_key(row), ()))
        by_benchmark[str(row["benchmark"])].append(one)
    ranked = {name: sorted(some, key=_rank) for name, some in by_benchmark.items()}
    return EvaluationPageData(run_id, [BenchmarkResults(*pair) for pair in ranked.items()])


def _rank(one: Evaluation) -> tuple[float, str]:
    value = (one.figure() or {}).get("value")
    return (1.0 if value is None else -value, one.name)


def _key(row: Line) -> Key:
    return (row["evaluation_id"], row["benchmark"])


def _by_key(rows: Iterable[Line]) -> Mapping[Key, list[Line]]:
    by_key: dict[Key, list[Line]] = defaultdict(list)
    for row in rows:
        by_key[_key(row)].append(row)
    return by_key

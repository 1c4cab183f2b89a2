"""Read the page's figures from the manifest: evaluations with their metrics and reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evaluation.records import ORIGINAL
from evaluation.statistics.breakdown import ALL
from medsift.errors import ManifestError
from medsift.manifest.any_version import Line, ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ACCURACY: Final = "accuracy"

RUNS: Final = """
SELECT run_id FROM runs WHERE run_id IN (SELECT run_id FROM evaluations)
ORDER BY created_at DESC, run_id DESC
"""
KNOWN: Final = """
SELECT DISTINCT evaluation_id FROM evaluations WHERE run_id = $run ORDER BY evaluation_id
"""
EVALUATIONS: Final = """
SELECT evaluation_id, model, model_hash, training_id, benchmark, files, items, images,
       content_hash, variants, asked, left_out, unanswered, protocol, settings, seed, contaminated,
       packages, created_at::VARCHAR AS created_at, seconds, tokens
FROM evaluations WHERE run_id = $run AND list_contains($chosen, evaluation_id)
ORDER BY benchmark, model, created_at, evaluation_id
"""
# Every metric of whole benchmarks; of their parts the accuracy of the items as published.
METRICS: Final = f"""
SELECT evaluation_id, benchmark, coalesce(variant, '{ORIGINAL}') AS variant,
       coalesce(facet, '{ALL}') AS facet, facet_value, metric, value, low, high, n, clusters,
       unparsed_rate
FROM metrics WHERE run_id = $run AND list_contains($chosen, evaluation_id)
  AND (coalesce(facet, '{ALL}') = '{ALL}'
       OR (metric = '{ACCURACY}' AND coalesce(variant, '{ORIGINAL}') = '{ORIGINAL}'))
ORDER BY ALL
"""
RELIABILITY: Final = """
SELECT evaluation_id, benchmark, bin, confidence_low, confidence_high, confidence, accuracy, low,
       high, n
FROM reliability WHERE run_id = $run AND list_contains($chosen, evaluation_id)
ORDER BY evaluation_id, benchmark, bin
"""

Key = tuple[str, str]
"""Evaluation and benchmark: together they are one model on one benchmark."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one benchmark.

    Attributes:
        name: the model's, or the evaluation's where two of one model stand side by side.
        facts: its line of `evaluations`.
        metrics: its lines of `metrics`.
        bins: its lines of `reliability`, in order.
    """

    name: str
    facts: Line
    metrics: Sequence[Line]
    bins: Sequence[Line]

    def figure(self, metric: str = ACCURACY, variant: str = ORIGINAL) -> Line | None:
        """The line of a metric of the whole benchmark, None where there is none."""
        wanted = (metric, variant, ALL)
        return next((one for one in self.metrics if _named(one) == wanted), None)

    def facet(self, name: str) -> list[Line]:
        """Lines of the accuracy of the originals by a facet."""
        wanted = (ACCURACY, ORIGINAL, name)
        return [one for one in self.metrics if _named(one) == wanted]


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark and those who answered it, highest accuracy first."""

    name: str
    evaluations: Sequence[Evaluation]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the page shows, except the worst items."""

    run_id: str
    benches: Sequence[Bench]

    @property
    def evaluations(self) -> list[Evaluation]:
        """Every model on every benchmark."""
        return [one for bench in self.benches for one in bench.evaluations]


def choose(
    connection: DuckDBPyConnection, run_id: str | None, evaluations: Sequence[str] | None
) -> tuple[str, list[str]]:
    """The run, the newest with evaluations when None, and ids of evaluations, all when None.

    Raises ManifestError when there is no such run or evaluation.
    """
    runs = [str(line["run_id"]) for line in ask(connection, RUNS)]
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
    known = [str(line["evaluation_id"]) for line in ask(connection, KNOWN, run=run)]
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


def read_facts(connection: DuckDBPyConnection, run_id: str, chosen: Sequence[str]) -> Facts:
    """Read from the manifest what the page shows about evaluations of a run."""
    bound = {"run": run_id, "chosen": list(chosen)}
    lines = ask(connection, EVALUATIONS, **bound)
    metrics = _by_key(ask(connection, METRICS, **bound))
    bins = _by_key(ask(connection, RELIABILITY, **bound))
    shared = Counter((line["model"], line["benchmark"]) for line in lines)
    found: dict[str, list[Evaluation]] = {}
    for line in lines:
        alone = shared[line["model"], line["benchmark"]] == 1
        name = str(line["model"] if alone else line["evaluation_id"])
        one = Evaluation(name, line, metrics.get(_key(line), ()), bins.get(_key(line), ()))
        found.setdefault(str(line["benchmark"]), []).append(one)
    return Facts(run_id, [Bench(name, sorted(some, key=_rank)) for name, some in found.items()])


def _rank(one: Evaluation) -> tuple[float, str]:
    accuracy = one.figure()
    value = None if accuracy is None else accuracy["value"]
    return (1.0 if value is None else -value, one.name)


def _named(line: Line) -> tuple[str, str, str]:
    return (line["metric"], line["variant"], line["facet"])


def _key(line: Line) -> Key:
    return (line["evaluation_id"], line["benchmark"])


def _by_key(lines: Iterable[Line]) -> Mapping[Key, list[Line]]:
    found: dict[Key, list[Line]] = {}
    for line in lines:
        found.setdefault(_key(line), []).append(line)
    return found

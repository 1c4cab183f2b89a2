"""Read the study page's figures from the manifest: trials, curves and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from evaluation.records import ORIGINAL
from evaluation.statistics.breakdown import ALL
from evaluation.study_results import BASELINES, FULL, UNTRAINED
from medsift.errors import ManifestError
from medsift.manifest.any_version import Line, ask

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BINS: Final = 60
"""Points of a curve; the steps between them are averaged."""

KNOWN: Final = """
SELECT run_id, study_id, name FROM studies WHERE $run IS NULL OR run_id = $run
ORDER BY created_at DESC, study_id
"""
STUDY: Final = """
SELECT * REPLACE (created_at::VARCHAR AS created_at, finished_at::VARCHAR AS finished_at)
FROM studies WHERE run_id = $run AND study_id = $study
"""
TRIALS: Final = """
WITH passes AS (
    SELECT run_id, training_id, max(epoch) AS epochs FROM training_steps GROUP BY ALL
)
SELECT t.arm, t.budget, t.samples, t.seed, t.status, t.error, t.selection, t.training_id,
       t.evaluation_id, r.steps, r.samples AS seen, r.loss, r.seconds, p.epochs, r.contaminated
FROM study_trials t LEFT JOIN trainings r USING (run_id, training_id)
LEFT JOIN passes p USING (run_id, training_id)
WHERE t.run_id = $run AND t.study_id = $study ORDER BY t.seed
"""
SCORES: Final = f"""
SELECT m.benchmark, t.arm, t.budget, t.samples, t.seed, m.value
FROM study_trials t JOIN metrics m USING (run_id, evaluation_id)
WHERE t.run_id = $run AND t.study_id = $study AND m.metric = 'accuracy' AND m.facet = '{ALL}'
  AND coalesce(m.variant, '{ORIGINAL}') = '{ORIGINAL}' AND m.value IS NOT NULL
ORDER BY ALL
"""
CURVES: Final = f"""
WITH steps AS (
    SELECT t.arm, t.budget, t.samples, s.step, s.loss,
           max(s.step) OVER (PARTITION BY t.arm, t.budget) AS last
    FROM study_trials t JOIN training_steps s USING (run_id, training_id)
    WHERE t.run_id = $run AND t.study_id = $study AND s.loss IS NOT NULL
)
SELECT arm, budget, samples, avg(step) AS step, avg(loss) AS loss FROM steps
GROUP BY arm, budget, samples, (step - 1) * {BINS} // last
ORDER BY step
"""
RESULTS: Final = """
SELECT * EXCLUDE (run_id, study_id) FROM study_results
WHERE run_id = $run AND study_id = $study
"""


@dataclass(frozen=True, slots=True)
class Group:
    """One arm at one budget, in the order of the page: small sets first, full data last."""

    arm: str
    budget: str
    samples: int

    @property
    def studied(self) -> bool:
        """Whether it is neither a baseline nor a bound."""
        return self.arm not in (FULL, UNTRAINED, *BASELINES)


@dataclass(frozen=True, slots=True)
class Bench:
    """The results on one benchmark, and the accuracy of each trial."""

    name: str
    results: Sequence[Line]
    scores: Sequence[Line]

    @property
    def whole(self) -> list[Line]:
        """Lines of the accuracy of the whole benchmark as published."""
        wanted = (ALL, ORIGINAL, "accuracy")
        return [
            line
            for line in self.results
            if (line["facet"], line["variant"], line["metric"]) == wanted
        ]

    def line(
        self,
        group: Group,
        versus: str | None = None,
        facet: str = ALL,
        value: str | None = ALL,
        metric: str = "accuracy",
        variant: str = ORIGINAL,
    ) -> Line | None:
        """A line of results, None where there is none."""
        wanted = (group.arm, group.budget, versus, facet, value, metric, variant)
        return next((line for line in self.results if _place(line) == wanted), None)

    @property
    def variants(self) -> list[str]:
        """Variants next to the original."""
        return sorted({str(line["variant"]) for line in self.results} - {ORIGINAL})

    @property
    def facets(self) -> dict[str, list[str | None]]:
        """Facets, combinations first, with their values, the largest first."""
        found: dict[str, dict[str | None, int]] = {}
        for line in self.results:
            if line["facet"] != ALL and line["versus"] is None:
                found.setdefault(line["facet"], {})[line["facet_value"]] = line["n"]
        return {
            facet: sorted(sizes, key=lambda name: (name is None, -sizes[name], str(name)))
            for facet, sizes in sorted(found.items(), key=lambda one: (" / " not in one[0], one[0]))
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the page shows."""

    study: Line
    trials: Sequence[Line]
    benches: Sequence[Bench]
    curves: Sequence[Line]

    @property
    def groups(self) -> list[Group]:
        """Arms at their budgets that have results, in the order of the results."""
        lines = (line for bench in self.benches for line in bench.results)
        keys = dict.fromkeys((line["arm"], line["budget"], line["samples"]) for line in lines)
        return [Group(*key) for key in keys]

    @property
    def failed(self) -> list[Line]:
        """Trials without a result."""
        return [trial for trial in self.trials if trial["status"] == "failed"]


def choose(
    connection: DuckDBPyConnection, run_id: str | None, study: str | None
) -> tuple[str, str]:
    """The run and id of a study, named by id or name; the newest when None.

    Raises ManifestError where there is none.
    """
    known = ask(connection, KNOWN, run=run_id)
    found = [line for line in known if study is None or study in (line["study_id"], line["name"])]
    if not found:
        names = ", ".join(str(line["study_id"]) for line in known) or "none"
        wanted = f"no study {study!r}" if study is not None else "no study"
        raise ManifestError(
            f"the manifest holds {wanted}; it has {names}: make one with 'medsift study RECIPE'",
            code="study_unknown",
            study=study,
            known=[str(line["study_id"]) for line in known],
        )
    return str(found[0]["run_id"]), str(found[0]["study_id"])


def read_facts(connection: DuckDBPyConnection, run_id: str, study_id: str) -> Facts:
    """Read from the manifest what the page shows about a study."""
    bound = {"run": run_id, "study": study_id}
    [study] = ask(connection, STUDY, **bound)
    results = sorted(ask(connection, RESULTS, **bound), key=_order)
    scores = ask(connection, SCORES, **bound)
    benches = [
        Bench(
            name,
            [line for line in results if line["benchmark"] == name],
            [line for line in scores if line["benchmark"] == name],
        )
        for name in sorted({str(line["benchmark"]) for line in results})
    ]
    trials = sorted(ask(connection, TRIALS, **bound), key=_order)
    curves = sorted(ask(connection, CURVES, **bound), key=_order)
    return Facts(study, trials, benches, curves)


def _order(line: Line) -> tuple[int, int, str]:
    """By size; studied arms before baselines."""
    arm = str(line["arm"])
    return line["samples"], BASELINES.index(arm) + 1 if arm in BASELINES else 0, arm


def _place(line: Line) -> tuple[str | None, ...]:
    names = ("arm", "budget", "versus", "facet", "facet_value", "metric", "variant")
    return tuple(line[name] for name in names)

"""Read the study page's figures from the manifest: trials, curves and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.records import ORIGINAL
from evaluation.study_scores import BASELINES, FULL, UNTRAINED
from evaluation.study_text import is_whole
from medsift.errors import ManifestError
from medsift.manifest import study_queries as queries
from medsift.manifest.any_version import Line, ask
from medsift.statistics.breakdown import ALL

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


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
class StudyBenchmark:
    """The results on one benchmark, and the accuracy of each trial."""

    name: str
    results: Sequence[Line]
    scores: Sequence[Line]

    @property
    def whole(self) -> list[Line]:
        """Rows of the accuracy of the whole benchmark as published."""
        return [line for line in self.results if is_whole(line)]

    def line(
        self,
        group: Group,
        versus: str | None = None,
        facet: str = ALL,
        value: str | None = ALL,
        metric: str = "accuracy",
        variant: str = ORIGINAL,
    ) -> Line | None:
        """Return a row of results, None where there is none.

        Args:
            group: The arm and budget.
            versus: The arm it is compared with; None for its own score.
            facet: The facet, or all.
            value: The value of the facet.
            metric: The metric.
            variant: The variant of the items.
        """
        names = ("arm", "budget", "versus", "facet", "facet_value", "metric", "variant")
        wanted = (group.arm, group.budget, versus, facet, value, metric, variant)
        return next(
            (row for row in self.results if tuple(row[name] for name in names) == wanted), None
        )

    @property
    def variants(self) -> list[str]:
        """Variants next to the original."""
        return sorted({str(line["variant"]) for line in self.results} - {ORIGINAL})

    @property
    def facets(self) -> dict[str, list[str | None]]:
        """Facets, combinations first, with their values, the largest first."""
        sizes_of: dict[str, dict[str | None, int]] = {}
        for line in self.results:
            if line["facet"] != ALL and line["versus"] is None:
                sizes_of.setdefault(line["facet"], {})[line["facet_value"]] = line["n"]
        return {
            facet: sorted(sizes, key=lambda name: (name is None, -sizes[name], str(name)))
            for facet, sizes in sorted(
                sizes_of.items(), key=lambda one: (" / " not in one[0], one[0])
            )
        }


@dataclass(frozen=True, slots=True)
class StudyPageData:
    """Everything the page shows."""

    study: Line
    trials: Sequence[Line]
    benchmarks: Sequence[StudyBenchmark]
    curves: Sequence[Line]

    @property
    def groups(self) -> list[Group]:
        """Arms at their budgets that have results, in the order of the results."""
        lines = (line for benchmark in self.benchmarks for line in benchmark.results)
        keys = dict.fromkeys((line["arm"], line["budget"], line["samples"]) for line in lines)
        return [Group(*key) for key in keys]

    @property
    def failed(self) -> list[Line]:
        """Trials without a result."""
        return [trial for trial in self.trials if trial["status"] == "failed"]


def choose(
    connection: DuckDBPyConnection, run_id: str | None, study: str | None
) -> tuple[str, str]:
    """Return the run and id of a study, named by id or name; of the newest when None.

    Raises ManifestError where there is none.
    """
    known = ask(connection, queries.PAGE_KNOWN, run=run_id)
    named = [line for line in known if study is None or study in (line["study_id"], line["name"])]
    if not named:
        names = ", ".join(str(line["study_id"]) for line in known) or "none"
        wanted = f"no study {study!r}" if study is not None else "no study"
        raise ManifestError(
            f"the manifest holds {wanted}; it has {names}: make one with 'medsift study RECIPE'",
            code="study_unknown",
            study=study,
            known=[str(line["study_id"]) for line in known],
        )
    return str(named[0]["run_id"]), str(named[0]["study_id"])


def read_page_data(connection: DuckDBPyConnection, run_id: str, study_id: str) -> StudyPageData:
    """Read from the manifest what the page shows about a study."""
    bound = {"run": run_id, "study": study_id}
    [study] = ask(connection, queries.PAGE_STUDY, **bound)
    results = sorted(ask(connection, queries.PAGE_RESULTS, **bound), key=_order)
    scores = ask(connection, queries.PAGE_SCORES, **bound)
    benchmarks = [
        StudyBenchmark(
            name,
            [line for line in results if line["benchmark"] == name],
            [line for line in scores if line["benchmark"] == name],
        )
        for name in sorted({str(line["benchmark"]) for line in results})
    ]
    trials = sorted(ask(connection, queries.PAGE_TRIALS, **bound), key=_order)
    curves = sorted(ask(connection, queries.PAGE_CURVES, **bound), key=_order)
    return StudyPageData(study, trials, benchmarks, curves)


def _order(line: Line) -> tuple[int, int, str]:
    """Order by size; studied arms before baselines."""
    arm = str(line["arm"])
    return line["samples"], BASELINES.index(arm) + 1 if arm in BASELINES else 0, arm

"""Probe a finished run: compare subsets of its pool, and add the result to its manifest."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.pool import graph_path, load_graph
from curation.probe.diagnosis import Finding, diagnose, diagnosis_table
from curation.probe.heap import Heap, load_heap
from curation.probe.manifest_tables import ProbeTables, probe_tables
from curation.probe.pool_figures import PoolFigures, pool_figures, read_doubts
from curation.probe.results import ALL, ProbeAnswers
from curation.probe.run_probe import ProbeInputs, ProbeRun, run_probe
from curation.probe.settings import ProbeConfig
from curation.run_dir import FinishedRun, open_run
from curation.selection.load_inputs import read_scores
from curation.selection.method import Candidates
from curation.table_html import html_table
from medsift.errors import UsageError
from medsift.execution import Executor, LocalExecutor
from medsift.manifest import append_tables
from medsift.progress import Listener, StageAdvanced, StageStarted, StageWarned, silent
from medsift.records import fingerprint
from medsift.storage.run_lock import claimed

STAGE: Final = "probe"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe shows. Print it to read the verdict; `table` has every figure.

    `verdicts` has a sentence for each arm, `answers` whether each sample was answered rightly.
    `classes` are the answers that were asked about, `left_out` counts the pool's samples that could
    not be, by reason. `diagnosis` says whether the pool is redundant, noisy or imbalanced, and what
    that calls for.
    """

    run_id: str
    probe_id: str
    manifest: Path
    table: pa.Table
    verdicts: dict[str, str]
    classes: list[str]
    left_out: dict[str, int]
    diagnosis: list[Finding]
    asked: int
    clusters: int
    pool: int
    seconds: float = field(compare=False)
    answers: ProbeAnswers = field(compare=False, repr=False)

    @property
    def verdict(self) -> str:
        """What the probe shows of its first arm, in one sentence."""
        return next(iter(self.verdicts.values()))

    @property
    def overall(self) -> list[dict[str, Any]]:
        """The rows over all samples asked about, by budget, the best arm first."""
        rows = [row for row in self.table.to_pylist() if row["facet"] == ALL]
        return sorted(rows, key=lambda row: (row["budget"], -row["accuracy"], row["arm"]))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it, with every row of the table."""
        names = ("run_id", "probe_id", "verdicts", "classes", "left_out", "asked", "clusters")
        rows = [
            {name: value for name, value in row.items() if name != "probe_id"}
            for row in self.table.to_pylist()
        ]
        found = [asdict(finding) for finding in self.diagnosis]
        figures = {name: getattr(self, name) for name in names}
        return figures | {"diagnosis": found, "results": rows}

    def __str__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        columns = ["arm", "budget", "samples", "accuracy", "low", "high", "random_difference"]
        columns += ["random_low", "random_high", "efficiency"]
        table = pa.Table.from_pylist(self.overall, schema=self.table.schema)
        return html_table(table.select(columns), self.verdict)


def probe(
    run_dir: Path,
    config: ProbeConfig,
    *,
    run_id: str | None = None,
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
    listener: Listener = silent,
) -> ProbeResult:
    """Compare arms on a run of a run directory, and store the result in its manifest.

    The samples asked about are cut from the pool's training split: no other split is read. The
    same settings on the same pool replace an earlier probe, which had equal results.

    Args:
        run_dir: a finished run.
        config: the arms, budgets, draws and folds.
        run_id: the run; the newest when not given.
        executor: where trainings run; results do not depend on it.
        listener: called with events as trainings finish.

    Raises:
        UsageError: the pool has nothing that a probe could ask about, too few groups for the
            folds, or an arm that cannot select from it.
        ManifestError: no manifest.
        InputError, StorageError: as `open_run`.
    """
    started = time.perf_counter()
    run = open_run(run_dir, run_id)
    seed = run.recipe.seed if config.seed is None else config.seed
    inputs = _inputs(run)
    listener(StageStarted(STAGE, config.cells, "trainings"))
    done = run_probe(
        inputs,
        config,
        seed,
        executor,
        lambda finished: listener(StageAdvanced(STAGE, finished)),
    )
    for remark in done.remarks:
        listener(StageWarned(STAGE, remark))
    diagnosis = diagnose(_figures(run, inputs.heap, executor))
    pool = run.upstream.last_deciding().fingerprint
    settings = [
        config.model_dump(mode="json", exclude={"seed", "spread_above"}),
        pool,
        seed,
        run.run_id,
    ]
    tables = probe_tables(
        done,
        config,
        probe_id=fingerprint(["probe", *settings])[:12],
        seed=seed,
        seconds=time.perf_counter() - started,
        created_at=datetime.now(UTC).replace(tzinfo=None),
    )
    with claimed(run.run_dir, wait=True):
        added = {"probe_runs": tables.runs, "probe_results": tables.results}
        added["probe_diagnosis"] = diagnosis_table(diagnosis, tables.probe_id)
        append_tables(run.manifest, run.run_id, added)
    return _result(run, done, tables, diagnosis)


def _inputs(run: FinishedRun) -> ProbeInputs:
    if "select" not in run.upstream:
        raise UsageError(
            f"run {run.run_id} stopped for a person to look at its review list; set "
            "decontaminate.unresolved to keep or drop and curate again",
            code="run_waits_for_review",
            run=run.run_id,
        )
    recipe = run.recipe
    return ProbeInputs(
        heap=load_heap(run.upstream, recipe.strata),
        scores=read_scores(run.upstream),
        graph=recipe.graph,
        neighbors=recipe.neighbors,
    )


def _figures(run: FinishedRun, heap: Heap, executor: Executor) -> PoolFigures:
    """Measure the run's pool, with the neighbour graph that its selections used."""
    recipe, pool = run.recipe, heap.samples.take(np.flatnonzero(heap.in_pool))
    path = graph_path(run.run_dir, run.upstream.last_deciding().fingerprint, recipe.graph)
    graph = load_graph(path, pool.vectors, recipe.graph, recipe.neighbors, executor.run)
    candidates = Candidates(pool, graph, recipe.graph, recipe.neighbors)
    return pool_figures(heap, candidates, read_doubts(run.upstream, recipe, heap), executor)


def _result(
    run: FinishedRun, done: ProbeRun, tables: ProbeTables, diagnosis: list[Finding]
) -> ProbeResult:
    [line] = tables.runs.to_pylist()
    return ProbeResult(
        run_id=run.run_id,
        probe_id=tables.probe_id,
        manifest=run.manifest,
        table=tables.results,
        verdicts=dict(tables.verdicts),
        classes=done.classes,
        left_out=done.left_out,
        answers=done.answers,
        diagnosis=diagnosis,
        **{name: line[name] for name in ("asked", "clusters", "pool", "seconds")},
    )

"""Improve a selection of a finished run in rounds, and add all of it to the run's manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.add_selection import check_selected, store_oldest
from curation.improve.choosing import Chooser, Chosen
from curation.improve.judging import judge_on_test, sure_cells, verdict
from curation.improve.learner import Learner, ProbeLearner
from curation.improve.parts import TEST, TRAIN, VALIDATION, Cut, Material, cut_parts
from curation.improve.results import improve_tables
from curation.improve.rounds import Rounds, run_rounds
from curation.improve.settings import ImproveConfig
from curation.pool import build_graph
from curation.run_dir import FinishedRun, open_run
from curation.selection.load_inputs import read_scores
from curation.selection.method import Candidates
from curation.table_html import html_table
from medsift.execution import Executor, LocalExecutor
from medsift.manifest import append_tables
from medsift.progress import Listener, StageAdvanced, StageStarted, silent
from medsift.records import digest, fingerprint
from medsift.storage.run_lock import claimed

STAGE: Final = "improve"
ID_DIGITS: Final = 10

LearnerMaker = Callable[[FinishedRun, Material, str], Learner]
"""Returns the learner of some material; the text says which part of it is asked about."""


@dataclass(frozen=True, slots=True)
class ImproveResult:
    """What the rounds of an improvement showed; print it to read the verdict.

    `rounds`, `cells` and `curves` are the tables of the manifest; `changes` has a line for each
    cell that a round changed beyond chance.
    """

    run_id: str
    improve_id: str
    manifest: Path
    verdict: str
    changes: list[str]
    rounds: pa.Table
    cells: pa.Table
    curves: pa.Table
    facts: dict[str, Any]
    seconds: float = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it."""
        tables = {name: getattr(self, name).to_pylist() for name in ("rounds", "cells", "curves")}
        names = ("run_id", "improve_id", "verdict", "changes")
        return {name: getattr(self, name) for name in names} | tables

    def __str__(self) -> str:
        return self.verdict

    def _repr_html_(self) -> str:
        columns = ["arm", "round", "samples", "accuracy", "test_accuracy", "test_difference"]
        columns += ["test_difference_low", "test_difference_high"]
        return html_table(self.rounds.select(columns), self.verdict)


def improve(
    config: ImproveConfig,
    *,
    make_learner: LearnerMaker | None = None,
    learner: Mapping[str, Any] | None = None,
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
    listener: Listener = silent,
) -> ImproveResult:
    """Run all arms at one budget, look at the test data once, and store what came of it.

    The same settings on the same run give the same selections, and replace an earlier result.

    Args:
        config: run, budget, rounds, and how quotas move.
        make_learner: what is trained on each selection; the probe when not given.
        learner: its settings, with its name as `trainer`.
        executor: where trainings run; results do not depend on it.
        listener: called with events as selections have been trained on.

    Raises:
        UsageError: nothing to learn from or to ask about, no test data, or a budget of everything.
        LedgerError: test data in a selection or in the validation data.
        MedSiftError: as `open_run` and the learner.
    """
    started = time.perf_counter()
    run = open_run(config.run)
    check_selected(run)
    cells = config.cells or run.recipe.strata
    cut = cut_parts(run.upstream, cells, config, config.seed)
    settings = config.model_dump(mode="json") | dict(learner or {"trainer": "probe"})
    improve_id = _identify(config.name, settings, run, cut)
    listener(StageStarted(STAGE, config.rounds + 3, "selections"))
    development = cut.material.take(TRAIN, VALIDATION)
    probe = ProbeLearner(development, config.min_groups, config.seed)
    chooser = _chooser(run, development, config, executor)
    done = 0

    def keep(chosen: Chosen) -> None:
        nonlocal done
        # Before it is trained on: a fine-tuning reads its selection from the manifest.
        store_oldest(run, [(chosen.selection, chooser.candidates)])
        listener(StageAdvanced(STAGE, done))
        done += 1

    trained = make_learner(run, development, VALIDATION) if make_learner else probe
    test_ids = cut.material.ids(TEST)
    rounds = run_rounds(development, chooser, probe, trained, test_ids, improve_id, keep)
    listener(StageAdvanced(STAGE, done))
    final = cut.material.take(TRAIN, TEST)
    judge = (
        make_learner(run, final, TEST)
        if make_learner
        else ProbeLearner(final, config.min_groups, config.seed)
    )
    figures = judge_on_test(final, judge, rounds)
    facts = {
        "improve_id": improve_id,
        "settings": settings,
        "seed": config.seed,
        "trainer": settings["trainer"],
        "budget": int(rounds.rounds[0].counts.sum()),
        "test": next(iter(figures.values())).accuracy.n,
        "left_out": cut.left_out,
        "verdict": verdict(figures, rounds.curves, config.rounds),
        "seconds": time.perf_counter() - started,
    }
    ids = chooser.candidates.sample_ids
    tables = improve_tables(facts, rounds, figures, development, ids)
    with claimed(run.run_dir, wait=True):
        append_tables(run.manifest, run.run_id, tables)
    return _result(run, rounds, tables, facts)


def _identify(name: str, settings: Mapping[str, Any], run: FinishedRun, cut: Cut) -> str:
    decisive = {key: value for key, value in settings.items() if key != "run"}
    pool = digest(*cut.material.pool.sample_ids)
    return f"{name}-{fingerprint([decisive, run.run_id, pool])[:ID_DIGITS]}"


def _chooser(
    run: FinishedRun, material: Material, config: ImproveConfig, executor: Executor
) -> Chooser:
    rows = material.rows(TRAIN)
    pool, graph = material.pool.take(rows), config.graph or run.recipe.graph
    knn = build_graph(pool.vectors, graph, run.recipe.neighbors, executor.run)
    candidates = Candidates(pool, knn, graph, run.recipe.neighbors)
    scores = read_scores(run.upstream)
    return Chooser(material.pool, rows, candidates, scores, config, config.seed, executor)


def _result(
    run: FinishedRun, rounds: Rounds, tables: dict[str, pa.Table], facts: dict[str, Any]
) -> ImproveResult:
    changes: Sequence[str] = sure_cells(rounds.rounds, rounds.cells)
    return ImproveResult(
        run_id=run.run_id,
        improve_id=facts["improve_id"],
        manifest=run.manifest,
        verdict=facts["verdict"],
        changes=list(changes),
        rounds=tables["improve_rounds"],
        cells=tables["improve_cells"],
        curves=tables["improve_curves"],
        facts=facts,
        seconds=facts["seconds"],
    )

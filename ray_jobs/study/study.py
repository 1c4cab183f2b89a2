"""Run a study from its recipe to its page: reuse what is finished, try the rest, store all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from evaluation.open_benchmarks import OpenBenchmark
from evaluation.report.study import write_study_page
from evaluation.study_results import study_results
from medsift.errors import LedgerError, MedSiftError
from medsift.progress import Listener, StageAdvanced, StageStarted, TrialFinished
from medsift.storage.run_lock import claimed
from ray_jobs.actions.curate import executor
from ray_jobs.sharing import check_nodes
from ray_jobs.study.manifest_io import (
    FinishedTrial,
    find_finished_trial,
    read_trial,
    store_failed_trial,
    store_study,
    store_trial,
)
from ray_jobs.study.plan import PlannedTrial, StudyPlan, make_plan
from ray_jobs.study.recipe import StudyRecipe
from ray_jobs.study.trial import Outcome, run_trials_locally, run_trials_on_ray
from training.run import now

logger = logging.getLogger(__name__)

PAGE: Final = "study.html"

Outcomes = Callable[
    [Sequence[PlannedTrial], Sequence[OpenBenchmark]], Iterator[tuple[PlannedTrial, Outcome]]
]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The results of a study, and where they are."""

    study_id: str
    run_id: str
    manifest: Path
    page: Path
    results: pa.Table
    trials: tuple[FinishedTrial, ...]

    @property
    def failed(self) -> list[FinishedTrial]:
        """Trials without a result."""
        return [trial for trial in self.trials if trial.error is not None]


def run_study(recipe: StudyRecipe, ray: bool, listener: Listener) -> StudyResult:
    """Run all trials of a study; one that fails does not stop the others, and is listed as failed.

    A study started earlier continues: finished trials are read from the manifest, an interrupted
    one resumes from its checkpoint. Only this process writes the manifest.

    Raises:
        UsageError: another process runs this study, or as `make_plan` does.
        LedgerError: no trial has a result, or as `make_plan` does.
        MedSiftError: as `make_plan` does, and where the manifest cannot be written.
    """
    started = now()
    with (
        claimed(recipe.run.absolute() / "studies" / recipe.name, what="study of this name"),
        executor(ray, recipe.compute.workers) as engine,
    ):
        if ray:
            check_nodes([recipe.run, *recipe.other_runs], shared=recipe.compute.shared_disk)
        plan = make_plan(recipe, engine)
        on_ray: Outcomes = partial(run_trials_on_ray, compute=recipe.compute)
        trials = _try_all(plan, on_ray if ray else run_trials_locally, listener)
        done = [read_trial(plan, trial) for trial in trials if trial.error is None]
        if not done:
            raise LedgerError(
                f"all {len(trials)} trials failed, the first: {trials[0].error}",
                code="trials_failed",
                failed=len(trials),
            )
        facets, resampling = recipe.evaluation.facets, recipe.evaluation.resampling
        results = study_results(done, recipe.margin, facets, resampling, recipe.controls)
        store_study(plan, trials, results, started)
        run = plan.run
        page = write_study_page(run.manifest, plan.folder / PAGE, run.run_id, plan.study_id)
    return StudyResult(plan.study_id, run.run_id, run.manifest, page, results, tuple(trials))


def check_complete(result: StudyResult) -> None:
    """Raise LedgerError where trials failed."""
    if result.failed:
        first = result.failed[0]
        raise LedgerError(
            f"{len(result.failed)} of {len(result.trials)} trials failed, the first is "
            f"{first.planned.name}: {first.error}; the results are those of the others: run the "
            "same command to try the failed ones again",
            code="trials_failed",
            failed=len(result.failed),
            first=first.planned.name,
        )


def _try_all(plan: StudyPlan, outcomes: Outcomes, listener: Listener) -> list[FinishedTrial]:
    """Return every trial with its outcome, in the order of the plan."""
    finished: dict[str, FinishedTrial] = {}

    def finish(trial: FinishedTrial, reused: bool) -> None:
        finished[trial.planned.name] = trial
        listener(TrialFinished(trial.planned.name, reused, trial.error))
        listener(StageAdvanced(plan.recipe.name, len(finished)))

    listener(StageStarted(plan.recipe.name, len(plan.trials), "trials"))
    left = []
    for trial in plan.trials:
        before = find_finished_trial(plan, trial)
        if before is None:
            left.append(trial)
        else:
            finish(before, reused=True)
    for trial, outcome in outcomes(left, plan.benchmarks):
        finish(_store(plan, trial, outcome), reused=False)
    return [finished[trial.name] for trial in plan.trials]


def _store(plan: StudyPlan, trial: PlannedTrial, outcome: Outcome) -> FinishedTrial:
    """Store a trial with its result or its error, and return it."""
    problem = outcome
    if not isinstance(outcome, MedSiftError):
        try:
            return store_trial(plan, trial, outcome)
        except LedgerError as error:
            problem = error
    try:
        store_failed_trial(trial, now())
    except MedSiftError as further:
        # The fault of the trial may also affect the files that it left.
        logger.warning("the manifest does not list how far %s came: %s", trial.name, further)
    return FinishedTrial(trial, None, " ".join(str(problem).split()))

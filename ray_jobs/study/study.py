"""A study from its recipe to its page: what is there is taken, the rest is tried, all is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from evaluation.build_predictions import Bench
from evaluation.report.study import write_study_page
from evaluation.study_results import study_results
from medsift.errors import LedgerError, MedSiftError
from medsift.progress import Listener, StageAdvanced, StageStarted, TrialFinished
from medsift.storage.run_lock import claimed
from ray_jobs.actions.curate import executor
from ray_jobs.sharing import check_nodes
from ray_jobs.study.manifest_io import (
    Finished,
    found_before,
    read_trial,
    store_lost,
    store_study,
    store_trial,
)
from ray_jobs.study.plan import Plan, Planned, make_plan
from ray_jobs.study.recipe import StudyRecipe
from ray_jobs.study.trial import Outcome, outcomes_here, outcomes_on_ray
from training.run import now

logger = logging.getLogger(__name__)

PAGE: Final = "study.html"

Outcomes = Callable[[Sequence[Planned], Sequence[Bench]], Iterator[tuple[Planned, Outcome]]]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study leaves behind."""

    study_id: str
    run_id: str
    manifest: Path
    page: Path
    results: pa.Table
    trials: tuple[Finished, ...]

    @property
    def failed(self) -> list[Finished]:
        """Trials without a result."""
        return [one for one in self.trials if one.error is not None]


def conduct(recipe: StudyRecipe, ray: bool, listener: Listener) -> StudyResult:
    """Carry out a study; a trial that fails leaves the others be, and stands in the result.

    A study begun before goes on: finished trials are taken from the manifest, one cut short goes
    on from its checkpoint. Only this process writes the manifest.

    Raises:
        UsageError: the study is at work elsewhere already, or as `make_plan` does.
        LedgerError: no trial has a result, or as `make_plan` does.
        MedSiftError: as `make_plan` does, and where the manifest cannot be written.
    """
    started = now()
    with (
        claimed(recipe.run.absolute() / "studies" / recipe.name, what="study of this name"),
        executor(ray, recipe.compute.workers) as engine,
    ):
        if ray:
            check_nodes([recipe.run])
        plan = make_plan(recipe, engine)

        def on_ray(
            trials: Sequence[Planned], benches: Sequence[Bench]
        ) -> Iterator[tuple[Planned, Outcome]]:
            return outcomes_on_ray(trials, benches, recipe.compute)

        trials = _try_all(plan, on_ray if ray else outcomes_here, listener)
        done = [read_trial(plan, one) for one in trials if one.error is None]
        if not done:
            raise LedgerError(
                f"all {len(trials)} trials failed, the first: {trials[0].error}",
                code="trials_failed",
                failed=len(trials),
            )
        asked = recipe.evaluation
        results = study_results(done, recipe.margin, asked.facets, asked.resampling)
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


def _try_all(plan: Plan, outcomes: Outcomes, listener: Listener) -> list[Finished]:
    """Every trial, in the order of the plan."""
    found: dict[str, Finished] = {}

    def told(one: Finished, reused: bool) -> None:
        found[one.planned.name] = one
        listener(TrialFinished(one.planned.name, reused, one.error))
        listener(StageAdvanced(plan.recipe.name, len(found)))

    listener(StageStarted(plan.recipe.name, len(plan.trials), "trials"))
    left = []
    for trial in plan.trials:
        before = found_before(plan, trial)
        if before is None:
            left.append(trial)
        else:
            told(before, reused=True)
    for trial, outcome in outcomes(left, plan.benches):
        told(_taken_in(plan, trial, outcome), reused=False)
    return [found[trial.name] for trial in plan.trials]


def _taken_in(plan: Plan, trial: Planned, outcome: Outcome) -> Finished:
    """The trial, stored, whatever came of it."""
    if isinstance(outcome, MedSiftError):
        return _lost(trial, outcome)
    try:
        return store_trial(plan, trial, outcome)
    except LedgerError as problem:
        return _lost(trial, problem)


def _lost(trial: Planned, problem: MedSiftError) -> Finished:
    try:
        store_lost(trial, now())
    except MedSiftError as further:
        # What is wrong with the trial may also be wrong with what it leaves.
        logger.warning("the manifest does not hold how far %s came: %s", trial.name, further)
    return Finished(trial, None, " ".join(str(problem).split()))

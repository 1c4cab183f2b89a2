"""Plan a study before it begins: its selections, trainings and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.add_selection import ensure_selections
from curation.run_dir import FinishedRun, open_run
from curation.selection.budget import BudgetConfig
from curation.selection.config import EVERYTHING
from evaluation.open_benchmarks import OpenBenchmark, open_benchmarks
from evaluation.recipe import EvaluationRecipe
from evaluation.study_scores import FULL, UNTRAINED
from medsift import records
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.manifest import read
from ray_jobs.absolute_paths import training_with_absolute_paths
from ray_jobs.evaluation_models import generator_settings, takes_images
from ray_jobs.study.recipe import StudyArm, StudyRecipe
from training.training_id import ID_DIGITS, Training, open_training

FULL_BUDGET: Final = "100%"
ALL_BUDGET: Final = "all"
"""Budget of an arm that is a run of its own."""
NO_BUDGET: Final = "0"


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """A planned trial: a training and its evaluation; without a training, the untrained model."""

    arm: str
    budget: str
    samples: int
    seed: int
    training: Training | None
    evaluation: EvaluationRecipe

    @property
    def name(self) -> str:
        """Name of the training, and of its model in tables."""
        return self.evaluation.models[0].name

    @property
    def selection(self) -> str | None:
        """Name of the selection to train on."""
        return self.training.selection if self.training else None


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """All that is known about a study before its first trial."""

    study_id: str
    recipe: StudyRecipe
    run: FinishedRun
    benchmarks: Sequence[OpenBenchmark]
    trials: Sequence[PlannedTrial]

    @property
    def folder(self) -> Path:
        """Folder of the study's page."""
        return self.run.run_dir / "studies" / self.recipe.name

    @property
    def contaminated(self) -> bool | None:
        """Whether any training is allowed despite leaks; None where one is unchecked."""
        verdicts = [trial.training.verdict for trial in self.trials if trial.training]
        contaminated = [verdict.contaminated for verdict in verdicts]
        return None if None in contaminated else any(contaminated)


def make_plan(recipe: StudyRecipe, executor: Executor) -> StudyPlan:
    """Read the benchmarks, make the selections that the run lacks, and check for leaks.

    Raises:
        UsageError: a budget is as large as the pool, another selection has the name of one, or
            the protocol has no rules for a benchmark.
        LedgerError: a selection may contain a benchmark; see `check_contamination`.
        MedSiftError: as `open_run`, `open_benchmarks`, `ensure_selections` and `open_training` do.
    """
    run = open_run(recipe.run)
    planner = _Planner(recipe, run, takes_images(recipe.training.base))
    benchmarks = open_benchmarks(planner.evaluation({"kind": "majority"}))
    pool = _pool_size(run)
    _check_budgets(recipe, pool)
    cells = [
        (arm, budget, seed, selection_name(recipe, arm, settings, budget, seed))
        for arm, settings in recipe.all_arms.items()
        if settings.run is None
        for budget in recipe.budgets
        for seed in recipe.seeds
    ]
    # Arms that are not random have one selection for all seeds.
    selections = {
        name: recipe.all_arms[arm].selection(
            name, budget, seed if recipe.all_arms[arm].is_random else recipe.seed
        )
        for arm, budget, seed, name in cells
    }
    samples = ensure_selections(run.run_dir, list(selections.values()), executor)
    untrained = planner.evaluation(planner.generator(f"{recipe.name}.{UNTRAINED}"))
    trials = [PlannedTrial(UNTRAINED, NO_BUDGET, 0, recipe.seed, None, untrained)]
    trials += [
        planner.trained(arm, str(budget), samples[name], seed, name)
        for arm, budget, seed, name in cells
    ]
    trials += [
        planner.trained(arm, ALL_BUDGET, _pool_size(other), seed, EVERYTHING, other)
        for arm, settings in recipe.all_arms.items()
        if settings.run is not None
        for other in [open_run(settings.run)]
        for seed in recipe.seeds
    ]
    trials += [planner.trained(FULL, FULL_BUDGET, pool, seed, EVERYTHING) for seed in recipe.seeds]
    # The same recipe, samples and benchmarks are the same study.
    trained = [trial.training.fingerprint for trial in trials if trial.training]
    asked = [[benchmark.name, benchmark.benchmark.content_hash] for benchmark in benchmarks]
    fingerprint = records.fingerprint([recipe.decisive(), run.run_id, trained, asked])
    study_id = f"{recipe.name}-{fingerprint[:ID_DIGITS]}"
    return StudyPlan(study_id, recipe, run, benchmarks, trials)


def selection_name(
    recipe: StudyRecipe, arm: str, settings: StudyArm, budget: BudgetConfig, seed: int
) -> str:
    """Return the name of a trial's selection.

    Args:
        recipe: the study, whose name begins the selection's.
        arm: the name of the arm.
        settings: those of the arm; all seeds share a selection that is not random.
        budget: how much is selected.
        seed: part of the name of a random selection.
    """
    shared = f"{recipe.name}.{arm}.{_slug(str(budget))}"
    return f"{shared}.s{seed}" if settings.is_random else shared


@dataclass(frozen=True, slots=True)
class _Planner:
    """Build the trials of a study."""

    recipe: StudyRecipe
    run: FinishedRun
    sees: bool

    def trained(
        self,
        arm: str,
        budget: str,
        samples: int,
        seed: int,
        selection: str,
        run: FinishedRun | None = None,
    ) -> PlannedTrial:
        """Return the trial of a model trained on a selection. Raises as `open_training` does.

        Args:
            arm: the name of the arm, or `FULL` for all data.
            budget: the budget as the recipe writes it; full data has none in its name.
            samples: how many are selected.
            seed: that of the training.
            selection: the name of the selection, which the run has.
            run: the run that is trained on; the study's own when not given.
        """
        of_budget = f".{_slug(budget)}" if arm != FULL else ""
        name = f"{self.recipe.name}.{arm}{of_budget}.s{seed}"
        recipe = self.recipe.training.trial(
            name=name,
            seed=seed,
            run=(run or self.run).run_dir,
            run_id=(run or self.run).run_id,
            selection=selection,
        )
        training = open_training(training_with_absolute_paths(recipe, Path.cwd()))
        evaluation = self.evaluation(self.generator(name, training))
        return PlannedTrial(arm, budget, samples, seed, training, evaluation)

    def evaluation(self, model: dict[str, Any]) -> EvaluationRecipe:
        """Return the recipe that evaluates a model."""
        return self.recipe.evaluation.trial(
            name=self.recipe.name,
            seed=self.recipe.seed,
            run=self.run.run_dir,
            cache=self.recipe.cache_dir.absolute(),
            models=[model],
        )

    def generator(self, label: str, training: Training | None = None) -> dict[str, Any]:
        """Return the settings of the generator of a training's result, or of the base model."""
        return generator_settings(
            label,
            self.recipe.training,
            self.recipe.evaluation,
            sees=self.sees,
            result=training.result if training else None,
        )


def _pool_size(run: FinishedRun) -> int:
    sql = "SELECT selected FROM selection_settings WHERE run_id = $1 AND selection = $2"
    sizes = read(run.manifest, sql, [run.run_id, EVERYTHING])["selected"].to_pylist()
    return int(sizes[0]) if sizes else 0


def _check_budgets(recipe: StudyRecipe, pool: int) -> None:
    for budget in recipe.budgets:
        size = budget.size(pool)
        if size is not None and size >= pool:
            raise UsageError(
                f"budget {budget} is {size:,} samples, and full data has {pool:,}; name smaller "
                "budgets",
                code="study_budget_too_large",
                budget=str(budget),
                pool=pool,
            )


def _slug(budget: str) -> str:
    return budget.replace("%", "pct")

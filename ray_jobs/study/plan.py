"""What a study will do, worked out before it begins: its selections, trainings and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.add_selection import ensure_selections
from curation.run_dir import FinishedRun, open_run
from curation.selection import EVERYTHING, SelectionConfig
from curation.selection.budget import BudgetConfig
from evaluation.build_predictions import Bench
from evaluation.evaluate import open_benches
from evaluation.recipe import EvaluationRecipe
from evaluation.study_results import FULL, UNTRAINED
from medsift import records
from medsift.errors import UsageError
from medsift.execution import Executor
from medsift.manifest import read
from ray_jobs.absolute_paths import anchored_training
from ray_jobs.evaluation_models import asked_model, looks
from ray_jobs.study.recipe import StudyArm, StudyRecipe
from training.training_id import ID_DIGITS, Training, open_training

WHOLE: Final = "100%"
NOTHING: Final = "0"


@dataclass(frozen=True, slots=True)
class Planned:
    """A trial to come. One without a training is the untrained model."""

    arm: str
    budget: str
    samples: int
    seed: int
    training: Training | None
    evaluation: EvaluationRecipe

    @property
    def name(self) -> str:
        """The name of its training and of its model in tables."""
        return self.evaluation.models[0].name

    @property
    def selection(self) -> str | None:
        """The selection that it is trained on."""
        return self.training.selection if self.training else None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a study but its outcome."""

    study_id: str
    recipe: StudyRecipe
    run: FinishedRun
    benches: Sequence[Bench]
    trials: Sequence[Planned]

    @property
    def folder(self) -> Path:
        """Where the study keeps its page."""
        return self.run.run_dir / "studies" / self.recipe.name

    @property
    def contaminated(self) -> bool | None:
        """Whether any training was allowed despite leaks; None where nobody looked."""
        told = [one.training.verdict.contaminated for one in self.trials if one.training]
        return None if None in told else any(told)


def make_plan(recipe: StudyRecipe, executor: Executor) -> Plan:
    """Read the benchmarks, make the selections that the run lacks, and pass the gate.

    Raises:
        UsageError: a budget as large as the pool, a selection's name that is taken, a protocol
            that has no rules for a benchmark.
        LedgerError: the gate is closed for a selection; see `pass_gate`.
        MedSiftError: as `open_run`, `open_benches`, `ensure_selections` and `open_training` do.
    """
    run = open_run(recipe.run)
    planner = _Planner(recipe, run, looks(recipe.training.base))
    benches = open_benches(planner.evaluation({"kind": "majority"}))
    pool = _pool(run)
    _check_budgets(recipe, pool)
    samples = ensure_selections(run.run_dir, _selections(recipe), executor)
    trials = [planner.untrained()]
    for arm, settings in recipe.all_arms.items():
        for budget in recipe.budgets:
            for seed in recipe.seeds:
                name = selection_name(recipe, arm, settings, budget, seed)
                trials.append(planner.trained(arm, str(budget), samples[name], seed, name))
    trials += [planner.trained(FULL, WHOLE, pool, seed, EVERYTHING) for seed in recipe.seeds]
    return Plan(_identity(recipe, run, benches, trials), recipe, run, benches, trials)


def selection_name(
    recipe: StudyRecipe, arm: str, settings: StudyArm, budget: BudgetConfig, seed: int
) -> str:
    """The name of a trial's selection; all seeds share one that is no draw."""
    shared = f"{recipe.name}.{arm}.{_slug(str(budget))}"
    return f"{shared}.s{seed}" if settings.drawn else shared


@dataclass(frozen=True, slots=True)
class _Planner:
    """Makes the trials of a study."""

    recipe: StudyRecipe
    run: FinishedRun
    sees: bool

    def untrained(self) -> Planned:
        """The model before training."""
        label = f"{self.recipe.name}.{UNTRAINED}"
        asked = self.evaluation(self.generator(label))
        return Planned(UNTRAINED, NOTHING, 0, self.recipe.seed, None, asked)

    def trained(self, arm: str, budget: str, samples: int, seed: int, selection: str) -> Planned:
        """A model trained on a selection. Raises as `open_training` does."""
        within = f".{_slug(budget)}" if arm != FULL else ""
        name = f"{self.recipe.name}.{arm}{within}.s{seed}"
        given = {"name": name, "seed": seed, "run": self.run.run_dir, "run_id": self.run.run_id}
        whole = self.recipe.training.trial(**given, selection=selection)
        training = open_training(anchored_training(whole, Path.cwd()))
        asked = self.evaluation(self.generator(name, training))
        return Planned(arm, budget, samples, seed, training, asked)

    def evaluation(self, model: dict[str, Any]) -> EvaluationRecipe:
        """How a model is asked."""
        return self.recipe.evaluation.trial(
            name=self.recipe.name,
            seed=self.recipe.seed,
            run=self.run.run_dir,
            cache=self.recipe.cache_dir.absolute(),
            models=[model],
        )

    def generator(self, label: str, training: Training | None = None) -> dict[str, Any]:
        """Settings of the generator that answers with a training's result, or with the base."""
        return asked_model(
            label,
            self.recipe.training,
            self.recipe.evaluation,
            sees=self.sees,
            result=training.result if training else None,
        )


def _selections(recipe: StudyRecipe) -> list[SelectionConfig]:
    """Every selection once."""
    found: dict[str, SelectionConfig] = {}
    for arm, settings in recipe.all_arms.items():
        for budget in recipe.budgets:
            for seed in recipe.seeds:
                name = selection_name(recipe, arm, settings, budget, seed)
                own = seed if settings.drawn else recipe.seed
                found.setdefault(name, settings.selection(name, budget, own))
    return list(found.values())


def _pool(run: FinishedRun) -> int:
    """Samples of full data."""
    sql = "SELECT selected FROM selection_settings WHERE run_id = $1 AND selection = $2"
    found = read(run.manifest, sql, [run.run_id, EVERYTHING])["selected"].to_pylist()
    return int(found[0]) if found else 0


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


def _identity(
    recipe: StudyRecipe, run: FinishedRun, benches: Sequence[Bench], trials: Sequence[Planned]
) -> str:
    """The same recipe on the same samples and benchmarks is the same study."""
    trained = [one.training.fingerprint for one in trials if one.training]
    asked = [[bench.name, bench.benchmark.content_hash] for bench in benches]
    whole = records.fingerprint([recipe.decisive(), run.run_id, trained, asked])
    return f"{recipe.name}-{whole[:ID_DIGITS]}"


def _slug(budget: str) -> str:
    return budget.replace("%", "pct")

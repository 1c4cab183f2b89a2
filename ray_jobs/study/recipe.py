"""Define the recipe of a study: which small sets are compared with full data, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from curation.selection import AnyMethod
from curation.selection.baselines import LongestConfig, RandomConfig, StratifiedRandomConfig
from curation.selection.budget import BudgetConfig
from curation.selection.config import SelectionConfig
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.quotas import QuotasConfig
from evaluation.study_scores import BASELINES, FULL, UNTRAINED
from evaluation.study_text import FEW_SEEDS
from medsift.config import Config
from medsift.storage.local_paths import AnyPath
from medsift.storage.locations import is_remote
from ray_jobs.evaluation_models import OUTER_KEYS, TrainedEvaluation, dump_without, refuse_keys
from training.recipe import TrainingRecipe

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
PER_TRIAL_KEYS: Final = frozenset({"name", "seed", "run", "run_id", "selection"})


class StudyArm(Config):
    """Settings of an arm: one way to select, at every budget of the study."""

    method: AnyMethod = FacilityLocationConfig()
    quotas: QuotasConfig | None = None
    quality: str | None = None
    """Scorer whose percentile is quality; when not given, the combined `quality` of the run."""
    image_tokens: int = Field(0, ge=0)
    """Tokens that one picture adds to the estimated tokens of a sample."""
    run: AnyPath | None = None
    """Directory of another curated run, such as one of constructed samples: the arm is trained on
    everything in its pool, and selects nothing."""

    @property
    def is_random(self) -> bool:
        """Whether the seed alone decides, so that every trial needs a selection of its own."""
        return isinstance(self.method, RandomConfig | StratifiedRandomConfig)

    def selection(self, name: str, budget: BudgetConfig, seed: int) -> SelectionConfig:
        """Return the arm's selection at a budget."""
        given = {"name": name, "budget": budget.model_dump(), "seed": seed}
        return SelectionConfig.model_validate(self.model_dump(exclude={"run"}) | given)


_METHODS = (RandomConfig(), StratifiedRandomConfig(), LongestConfig())
BASELINE_ARMS: Final = {
    name: StudyArm(method=method) for name, method in zip(BASELINES, _METHODS, strict=True)
}


class StudyTraining(TrainingRecipe):
    """Settings of every training: a training recipe without what differs between trials."""

    name: str = "trial"
    run: AnyPath = Path()

    @model_validator(mode="after")
    def _refuse_per_trial_keys(self) -> StudyTraining:
        refuse_keys(self, PER_TRIAL_KEYS)
        if self.early_stopping is not None:
            raise ValueError(
                "early_stopping would end trials after different steps; leave it out, so that all "
                "take the same"
            )
        if self.checkpoints.storage is not None and is_remote(self.checkpoints.storage):
            raise ValueError("checkpoints.storage must be a folder: trials write to a disk")
        return self

    def trial(self, **given: Any) -> TrainingRecipe:
        """Return the recipe of a trial, given what differs."""
        return TrainingRecipe.model_validate(dump_without(self, PER_TRIAL_KEYS) | given)


class StudyCompute(Config):
    """Settings of where trials run, and with which resources; they never change a result."""

    ray: bool = True
    """Run trials as Ray tasks (on a local Ray without a cluster), or one after another."""
    workers: int | None = Field(None, ge=1)
    """CPUs of a local Ray; all of them when not given."""
    cpus_per_trial: int = Field(1, ge=1)
    """CPUs of each trial on Ray."""
    gpus_per_trial: float | None = Field(None, ge=0.0)
    """GPUs of each trial; when not given, one where there are any."""
    shared_disk: bool = False
    """Whether all nodes of a cluster have the folders named here under the same paths, as on a
    network disk. A cluster of several nodes needs that, or the URL of a store for the run; what is
    said here is proved before anything runs."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"cpus": "cpus_per_trial", "gpus": "gpus_per_trial"}


class StudyRecipe(Config):
    """Settings of a study. Every arm is trained at every budget, and full data once, per seed.

    The baselines `random`, `stratified_random` and `longest` are always among the arms, unless
    every arm is a run of its own.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the study: letters, digits, `_` and `-`."""
    seed: int = Field(0, ge=0)
    """Seed of variants, and of selections that are not random."""
    run: AnyPath
    """Directory of a curated run; selections, trainings and results are added to it."""
    cache: AnyPath | None = None
    """Folder of replies and pictures that evaluations share; next to the run when not given."""
    training: StudyTraining
    evaluation: TrainedEvaluation
    arms: dict[str, StudyArm] = Field(default_factory=lambda: {"facility_location": StudyArm()})
    budgets: tuple[BudgetConfig, ...] = Field((), validate_default=True)
    """Sizes of the small sets, as counts or shares of the pool; none where every arm is a run."""
    controls: tuple[str, ...] = ()
    """Arms that the others are compared with, as with the baselines: shuffled reasoning, say."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of trainings and of random selections: one trial each."""
    allow_few_seeds: bool = False
    """Accept fewer than three seeds; the result then says so."""
    margin: float = Field(gt=0.0, lt=1.0)
    """Largest loss against full data that still counts as no worse: 0.03 is 3 points."""
    equalise: Literal["steps", "epochs"]
    """What all trainings have in common: `training.steps`, or the passes over their own set."""
    compute: StudyCompute = StudyCompute()

    renamed_keys: ClassVar[Mapping[str, str]] = {"same": "equalise", "few_seeds": "allow_few_seeds"}

    @field_validator("arms")
    @classmethod
    def _arms_have_free_names(cls, arms: dict[str, StudyArm]) -> dict[str, StudyArm]:
        reserved = (FULL, UNTRAINED, *BASELINES)
        for name in arms:
            if name in reserved:
                raise ValueError(f"{name!r} is always an arm; reserved are {', '.join(reserved)}")
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name: use letters, digits, _ and -")
        if not arms:
            raise ValueError("name at least one arm besides the baselines")
        return arms

    @field_validator("budgets")
    @classmethod
    def _budgets_are_counts_or_shares(
        cls, budgets: tuple[BudgetConfig, ...], info: ValidationInfo
    ) -> tuple[BudgetConfig, ...]:
        selects = any(arm.run is None for arm in info.data.get("arms", {}).values())
        if selects and not budgets:
            raise ValueError("arms that select need budgets, such as 5%")
        if budgets and info.data.get("arms") and not selects:
            raise ValueError("every arm is a run, and takes all of it; leave out budgets")
        for budget in budgets:
            if budget.count is None and budget.fraction is None:
                raise ValueError(f"{budget} differs between arms; give counts or shares: 500, 10%")
            if budget.fraction == 1.0:
                raise ValueError("100% is full data, which is always an arm")
            if budgets.count(budget) > 1:
                raise ValueError(f"{budget} is given twice")
        return budgets

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("give different numbers from 0 on, such as [0, 1, 2]")
        return seeds

    @model_validator(mode="after")
    def _parts_agree(self) -> StudyRecipe:
        if len(self.seeds) < FEW_SEEDS and not self.allow_few_seeds:
            raise ValueError(
                f"{len(self.seeds)} seeds say little about another seed; give three or more, or "
                "allow_few_seeds: true, and the result says so"
            )
        if unknown := [name for name in self.controls if name not in self.arms]:
            known = ", ".join(self.arms)
            raise ValueError(f"control {unknown[0]!r} is no arm; name one of {known}")
        if (self.equalise == "steps") != (self.training.steps is not None):
            raise ValueError(
                "equalise: steps needs training.steps, and equalise: epochs needs training.epochs"
            )
        return self

    @property
    def all_arms(self) -> dict[str, StudyArm]:
        """All arms: those of the recipe, then the baselines where any of them selects."""
        return {**self.arms, **(BASELINE_ARMS if self.selects else {})}

    @property
    def selects(self) -> bool:
        """Whether any arm selects from the study's own run."""
        return any(arm.run is None for arm in self.arms.values())

    @property
    def other_runs(self) -> list[Path]:
        """Runs that arms are trained on in place of the study's own."""
        return [arm.run for arm in self.arms.values() if arm.run is not None]

    @property
    def cache_dir(self) -> Path:
        """Folder of shared replies and pictures."""
        return self.cache if self.cache is not None else self.run.absolute().parent / "cache"

    def resolved(self) -> dict[str, Any]:
        """Return the recipe with every default written out, as JSON-able values that load again."""
        training = dump_without(self.training, PER_TRIAL_KEYS)
        evaluation = dump_without(self.evaluation, OUTER_KEYS)
        settings = dump_without(self, frozenset({"training", "evaluation"}))
        return settings | {"training": training, "evaluation": evaluation}

    def decisive(self) -> dict[str, Any]:
        """Return what decides the result: all settings but places and compute."""
        left_out = {"run", "cache", "compute", "few_seeds"}
        settings = self.with_first_names(self.resolved())
        for arm in settings["arms"].values():
            # Where a run lies decides nothing; its samples are in the trainings' fingerprints.
            arm.pop("run")
        # Studies from before there were controls keep their identity.
        left_out |= set() if self.controls else {"controls"}
        return {key: value for key, value in settings.items() if key not in left_out}

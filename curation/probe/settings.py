"""Settings of a probe: the arms compared, at which budgets, how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from curation.pool import GraphConfig
from curation.probe.kernel_learner import KernelConfig
from curation.probe.learners import AnyLearner
from curation.selection import AnyMethod
from curation.selection.quotas import QuotasConfig
from medsift import recipe_yaml
from medsift.config import Config

RANDOM: Final = "random"
DEDUP_RANDOM: Final = "dedup_random"
FULL: Final = "full"
CURVE: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7)
"""Budgets that `random` has in any case: data efficiency is read off its curve."""
BASELINES: Final = (RANDOM, DEDUP_RANDOM, FULL)
USUAL_METHODS: Final = (
    "facility_location",
    "cluster_temperature",
    "k_center",
    "stratified_random",
    "longest",
    "top_score",
)


class ArmConfig(Config):
    """Settings of one way to select, compared with random and with everything."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the arm in tables and figures."""
    method: AnyMethod
    """The method and its settings, as in `selections`."""
    quotas: QuotasConfig | None = None
    """Shares of the strata; the method's usual ones when not given."""
    quality: str | None = None
    """Scorer whose percentile is quality; the combined one of the run when not given."""
    graph: GraphConfig | None = None
    """Weights of picture, question and answer, and neighbours; those of the recipe when not
    given."""

    @model_validator(mode="before")
    @classmethod
    def _method_alone(cls, given: Any) -> Any:
        return {"name": given, "method": {"kind": given}} if isinstance(given, str) else given


def usual_arms() -> list[ArmConfig]:
    """Return the arms of a probe whose settings name none: six methods as they are."""
    return [ArmConfig.model_validate(kind) for kind in USUAL_METHODS]


class ProbeConfig(Config):
    """Settings of a probe. Equal settings on an equal run give equal results."""

    arms: list[ArmConfig] = Field(default_factory=usual_arms, min_length=1)
    """Methods to compare, each as its settings or by name alone, next to `random` (of all rows that
    are valid, duplicates included), `dedup_random` (of the pool) and `full` (all rows), which every
    probe has. When not given: facility_location, cluster_temperature, k_center,
    stratified_random, longest and top_score."""
    budgets: list[float] = Field(default=[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5], min_length=1)
    """Shares of the pool's training part, each above 0 and below 1."""
    draws: int = Field(default=20, ge=2)
    """Trainings on different draws of `random` at each budget, over all folds; as many of every
    other arm that draws at random."""
    folds: int = Field(default=4, ge=2, le=20)
    """Parts of the pool; each is asked about once by probes trained on the others. No picture,
    copy, case or patient is in two parts."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of folds and draws; the recipe's seed when not given. Another cut of folds shows how far
    the figures hang on one."""
    min_groups: int = Field(default=5, ge=2)
    """Groups of pictures (or patients) that must give an answer for it to be a class."""
    versus: str | None = None
    """Arm, `random` or `dedup_random` with which every arm is also compared, paired by sample; none
    when not given. For an ablation: the arm of the defaults."""
    learner: AnyLearner = KernelConfig()
    """What is trained: `kernel` in closed form, or `network`, which has more capacity and costs far
    more."""
    spread_above: int = Field(default=2_000, ge=0)
    """Samples above which trainings are spread over workers, an arm and budget each; changes no
    result."""
    margin: float = Field(default=0.02, gt=0.0, lt=1.0)
    """Accuracy that a selection may lose against `full` and still count as non-inferior."""

    @property
    def grid(self) -> list[float]:
        """Budgets at which trainings run: the ones asked for, and those of the random curve."""
        return sorted({*self.budgets, *CURVE})

    @property
    def cells(self) -> int:
        """Number of trainings that progress counts: one per fold, arm and budget."""
        return self.folds * (2 * len(self.grid) + len(self.arms) * len(self.budgets) + 1)

    @model_validator(mode="after")
    def _arms_and_budgets_are_distinct(self) -> ProbeConfig:
        names = [arm.name for arm in self.arms]
        for name in names:
            if name in BASELINES:
                raise ValueError(f"{name!r} is an arm of every probe; choose another name")
            if names.count(name) > 1:
                raise ValueError(f"two arms are named {name!r}; give each its own name")
        compared = [*names, RANDOM, DEDUP_RANDOM]
        if self.versus is not None and self.versus not in compared:
            raise ValueError(f"versus names {self.versus!r}; the arms are {', '.join(compared)}")
        wrong = [budget for budget in self.budgets if not 0.0 < budget < 1.0]
        if wrong:
            raise ValueError(f"the budget {wrong[0]:g} is no share; give shares as 0.1 or 0.3")
        if len(set(self.budgets)) < len(self.budgets):
            raise ValueError("a budget is given twice; give each once")
        return self


def load_probe_settings(
    path: Path | None,
    methods: Sequence[str] | None = None,
    overrides: Sequence[str] = (),
    usual: Mapping[str, Any] | None = None,
) -> ProbeConfig:
    """Return the settings of a YAML file, or the usual ones, with some methods and changes.

    Args:
        path: the YAML file, where there is one.
        methods: names of methods that are the arms.
        overrides: changes, as `key=value`.
        usual: settings that count where neither a file nor `methods` say otherwise.

    Raises:
        RecipeError: no such file, a setting that is not valid, or an unknown method.
    """
    settings: dict[str, Any] = dict(usual or {})
    if path is not None:
        settings = recipe_yaml.load(ProbeConfig, path).model_dump(mode="json")
    if methods is not None:
        settings["arms"] = list(methods)
    return recipe_yaml.validated(ProbeConfig, settings, overrides, origin="probe")

"""Settings of `improve`: what is selected, how it is judged, and how far quotas move."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from curation.pool import GraphConfig
from curation.selection import AnyMethod
from curation.selection.budget import BudgetConfig
from curation.selection.facility_location import FacilityLocationConfig
from medsift.config import Config
from medsift.storage.local_paths import AnyPath
from medsift.vocabulary import SplitName


class TestDataConfig(Config):
    """Settings of the test data, which are looked at once, after the last round."""

    __test__ = False  # no test of pytest's

    split: SplitName | None = None
    """Split of the run, for example `test`."""
    share: float | None = Field(None, gt=0.0, lt=1.0)
    """Or a share of the run's training split, in whole groups of pictures and patients."""

    @model_validator(mode="after")
    def _one_way(self) -> TestDataConfig:
        if (self.split is None) == (self.share is None):
            raise ValueError("name either split or share")
        return self


class CurvesConfig(Config):
    """Settings of the learning curves behind the one-shot arm."""

    budgets: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
    """Shares of the training part on whose random subsets the probe is trained, ascending."""
    draws: int = Field(10, ge=1)
    """Random subsets of each size."""
    resamples: int = Field(400, ge=50)
    """Resamples of groups behind the interval of the predicted gain."""

    @field_validator("budgets")
    @classmethod
    def _budgets_grow(cls, budgets: tuple[float, ...]) -> tuple[float, ...]:
        if len(budgets) < 3 or list(budgets) != sorted(set(budgets)):
            raise ValueError("give three shares or more, each larger than the one before")
        if budgets[0] <= 0.0 or budgets[-1] > 1.0:
            raise ValueError("shares are above 0 and at most 1")
        return budgets


class ImproveConfig(Config):
    """Settings of rounds that move quotas by what a learner gets wrong, and select again."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the improvement, which begins those of its selections."""
    seed: int = Field(0, ge=0)
    """Seed of the cut into parts, of selections and of resamples."""
    run: AnyPath
    """Directory of a curated run; selections and results are added to it."""
    budget: BudgetConfig
    """Samples of every selection, as a number or as a share of the training part."""
    rounds: int = Field(3, ge=1, le=20)
    """Rounds of the loop; `--rounds` comes first."""
    cells: tuple[str, ...] | None = None
    """Tags whose values together name a cell; the run's strata when not given."""
    validation: float = Field(0.25, gt=0.0, lt=1.0)
    """Share of the training split that rounds are judged on, in whole groups of pictures and
    patients."""
    test: TestDataConfig = TestDataConfig(split="test")
    """Test data; the run's split `test` when not given."""
    method: AnyMethod = FacilityLocationConfig()
    """How samples are picked within quotas, in every arm."""
    graph: GraphConfig | None = None
    """Vectors and neighbours of the method; those of the run when not given."""
    targeted: float = Field(0.2, ge=0.0, le=1.0)
    """Share of each cell's quota in the loop that goes to the samples nearest to its failures."""
    importance: dict[str, float] = Field(default_factory=dict)
    """Weight v of each cell's error by the cell's name; its share of the samples asked about when
    none is given, and 0 for cells that are not named."""
    step: float = Field(0.5, gt=0.0, le=5.0)
    """η: a quota is multiplied by exp(η z), where z is how far the cell's error is above the mean
    in standard deviations, at most 1.5 either way."""
    prior: float = Field(0.2, ge=0.0, le=1.0)
    """Share of proportional quotas that every round mixes in."""
    floor: float = Field(0.01, ge=0.0, lt=1.0)
    """Share of the budget that each cell gets at least, as far as it has it; from learning curves,
    at least its proportional quota if that is less."""
    cap: float = Field(4.0, ge=1.0)
    """Times its proportional quota that a cell gets at most."""
    min_groups: int = Field(5, ge=2)
    """Groups of pictures (or patients) that must give an answer for the probe to ask about it."""
    curves: CurvesConfig = CurvesConfig()

    @field_validator("budget")
    @classmethod
    def _budget_is_a_count_or_share(cls, budget: BudgetConfig) -> BudgetConfig:
        if budget.count is None and budget.fraction is None:
            raise ValueError(f"{budget} differs between arms; give a number or a share: 500, 10%")
        return budget

    @field_validator("importance")
    @classmethod
    def _importance_is_valid(cls, importance: dict[str, float]) -> dict[str, float]:
        for name, weight in importance.items():
            if not 0.0 <= weight < float("inf"):
                raise ValueError(f"that of {name!r} is {weight}; give 0 or more")
        if importance and not any(importance.values()):
            raise ValueError("all are 0; give a cell some importance")
        return importance

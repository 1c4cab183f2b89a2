"""One selection of a recipe: method, budget, quotas, and which score is quality."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, field_validator

from curation.selection.budget import BudgetConfig
from curation.selection.cluster_temperature import ClusterTemperatureConfig
from curation.selection.deita import DeitaConfig
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.k_center import KCenterConfig
from curation.selection.longest import LongestConfig
from curation.selection.prototype_pruning import PrototypePruningConfig
from curation.selection.quotas import QuotasConfig
from curation.selection.random import RandomConfig
from curation.selection.stratified_random import StratifiedRandomConfig
from curation.selection.target import TargetConfig
from curation.selection.top_score import TopScoreConfig
from medsift.config import Config

EVERYTHING: Final = "kept"
"""Name of the selection of every sample, which each run has."""

AnyMethod = Annotated[
    FacilityLocationConfig
    | KCenterConfig
    | DeitaConfig
    | ClusterTemperatureConfig
    | PrototypePruningConfig
    | TargetConfig
    | TopScoreConfig
    | RandomConfig
    | StratifiedRandomConfig
    | LongestConfig,
    Field(discriminator="kind"),
]


class SelectionConfig(Config):
    """A named subset of the pool. Equal settings on an equal pool select equal samples."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    method: AnyMethod = FacilityLocationConfig()
    budget: BudgetConfig
    quotas: QuotasConfig | None = None
    """Shares of the strata; the method's usual ones when not given."""
    quality: str | None = None
    """Scorer whose percentile is quality. When not given, the combined `quality` if the run has
    one, else all samples are equal."""
    seed: int | None = Field(default=None, ge=0)
    """The recipe's seed when not given."""
    image_tokens: int = Field(default=0, ge=0)
    """Tokens that a picture counts."""

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == EVERYTHING:
            raise ValueError(f"{EVERYTHING!r} is the selection of everything; choose another name")
        return name

    @property
    def usual_or_given_quotas(self) -> QuotasConfig:
        """The quotas that hold."""
        return self.method.usual_quotas if self.quotas is None else self.quotas

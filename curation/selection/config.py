"""Settings of one selection of a recipe: method, budget, quotas, and the score that is quality."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator, model_validator

from curation.selection import AnyMethod
from curation.selection.budget import BudgetConfig
from curation.selection.facility_location import FacilityLocationConfig
from curation.selection.mix import MixConfig
from curation.selection.quotas import QuotasConfig
from medsift.config import Config

EVERYTHING: Final = "kept"
"""Name of the selection of every sample, which each run has."""


class SelectionConfig(Config):
    """Settings of a named subset of the pool.

    Equal settings on an equal pool select equal samples.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the selection in the manifest, in commands and in file names."""
    method: AnyMethod = FacilityLocationConfig()
    """How samples are picked; facility location when not given."""
    budget: BudgetConfig
    """How many samples are picked."""
    quotas: QuotasConfig | None = None
    """Shares of the strata; the method's usual ones when not given."""
    mix: MixConfig | None = None
    """What may be picked, by source, licence and article, and the share of each source; null for
    every sample of the pool, without shares of sources."""
    quality: str | None = None
    """Scorer whose percentile is quality. When not given, the combined `quality` if the run has
    one, else all samples are equally good."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of all that the method leaves to chance; the recipe's seed when not given."""
    image_tokens: int = Field(default=0, ge=0)
    """Tokens that one picture adds to the estimated tokens of a sample."""

    @model_validator(mode="after")
    def _mix_fits(self) -> SelectionConfig:
        if self.mix is None:
            return self
        if self.budget.auto is not None:
            raise ValueError("budget: auto judges the whole pool; give a mix a budget in numbers")
        if self.mix.quotas is not None and self.quotas is not None:
            raise ValueError("shares of sources are quotas already; leave out quotas, or shares")
        return self

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == EVERYTHING:
            raise ValueError(f"{EVERYTHING!r} is the selection of everything; choose another name")
        return name

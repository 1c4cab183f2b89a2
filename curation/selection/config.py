"""Settings of one selection of a recipe: method, budget, quotas, and the score that is quality."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator

from curation.selection import AnyMethod
from curation.selection.budget import BudgetConfig
from curation.selection.facility_location import FacilityLocationConfig
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
    quality: str | None = None
    """Scorer whose percentile is quality. When not given, the combined `quality` if the run has
    one, else all samples are equally good."""
    seed: int | None = Field(default=None, ge=0)
    """Seed of all that the method leaves to chance; the recipe's seed when not given."""
    image_tokens: int = Field(default=0, ge=0)
    """Tokens that one picture adds to the estimated tokens of a sample."""

    @field_validator("name")
    @classmethod
    def _name_is_free(cls, name: str) -> str:
        if name == EVERYTHING:
            raise ValueError(f"{EVERYTHING!r} is the selection of everything; choose another name")
        return name

"""Define the recipe of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from curation.rl_set.questions import RlSetConfig
from evaluation.generators import CausalGenerator, EndpointGenerator, ImageTextGenerator
from evaluation.prompts import PromptConfig
from medsift import recipe_yaml
from medsift.config import Config
from medsift.storage.local_paths import AnyPath

AnyDrawn = Annotated[
    CausalGenerator | ImageTextGenerator | EndpointGenerator, Field(discriminator="kind")
]


class RolloutsRecipe(Config):
    """Settings of rollouts. Equal recipes on equal selections draw and keep alike on a CPU."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the rollouts, and of the selection of what is kept."""
    seed: int = Field(0, ge=0)
    """Seed of the order of options; that of the replies is the model's own."""
    run: AnyPath
    """Run directory that has the selection, and takes the rollouts."""
    run_id: str | None = None
    """Run within it; the newest that has the selection when not given."""
    selection: str | None = None
    """Selection that gives the questions; the newest one when not given."""
    model: AnyDrawn
    """Model that replies, its adapter, and how it generates."""
    prompts: PromptConfig = PromptConfig()
    """How questions are put into words."""
    draws: int = Field(16, ge=2)
    """Replies to each question."""
    blank_draws: int = Field(4, ge=0)
    """Replies to each question with blank pictures, which show what needs no picture."""
    questions_per_batch: int = Field(8, ge=1)
    """Questions per unit of work; what a killed command may have to ask again."""
    keep: RlSetConfig = RlSetConfig()
    """Which questions are kept."""

    @field_validator("model")
    @classmethod
    def _replies_differ(cls, model: AnyDrawn) -> AnyDrawn:
        if not model.generation.temperature:
            raise ValueError(
                "all replies are the same at temperature 0; set generation.temperature"
            )
        return model


def load_rollouts(path: Path, overrides: Sequence[str] = ()) -> RolloutsRecipe:
    """Load the recipe of a YAML file. Raises RecipeError."""
    return recipe_yaml.load(RolloutsRecipe, path, overrides)

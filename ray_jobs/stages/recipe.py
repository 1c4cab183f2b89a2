"""Define the recipe of stages: what is curated, and what each stage learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from curation.rl_set.questions import RlSetConfig
from evaluation.generators import GenerationConfig
from evaluation.prompts import PromptConfig
from medsift import recipe_yaml
from medsift.config import Config
from medsift.models.embedded_vlm import EmbeddedImageTextModelConfig
from medsift.storage.local_paths import AnyPath
from ray_jobs.evaluation_models import TrainedEvaluation, dump_without, refuse_keys, takes_images
from ray_jobs.rollouts.recipe import RolloutsRecipe
from training.model.base_model import AnyBase
from training.recipe import TrainingRecipe

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
SET_AROUND: Final = frozenset({"name", "run", "run_id", "base"})
"""Keys of a training that the recipe around it sets."""


class StageTraining(TrainingRecipe):
    """Settings of a training that begins where the stage before it ended."""

    name: str = "stage"
    """The stage names the training, so leave this out."""
    run: AnyPath = Path()
    """The recipe around it names the run, so leave this out."""
    base: AnyBase = EmbeddedImageTextModelConfig()
    """The result of the last training, or the recipe's base; leave this out."""

    @model_validator(mode="after")
    def _refuse_keys_around(self) -> StageTraining:
        refuse_keys(self, SET_AROUND)
        return self

    def of(self, **given: Any) -> TrainingRecipe:
        """Return the recipe of the training, given what the recipe around it sets."""
        return TrainingRecipe.model_validate(dump_without(self, SET_AROUND) | given)


class StageRollouts(Config):
    """Settings of rollouts by the model as it is at this stage."""

    seed: int = Field(0, ge=0)
    """Seed of the order of options."""
    selection: str
    """Selection that gives the questions."""
    prompts: PromptConfig = PromptConfig()
    """How questions are put into words."""
    draws: int = Field(16, ge=2)
    """Replies to each question."""
    blank_draws: int = Field(4, ge=0)
    """Replies to each question with blank pictures."""
    questions_per_batch: int = Field(8, ge=1)
    """Questions per unit of work."""
    keep: RlSetConfig = RlSetConfig()
    """Which questions are kept, as a selection of the stage's name."""
    generation: GenerationConfig = GenerationConfig(temperature=1.0)
    """How replies are generated; the temperature must be above 0."""
    batch_size: int | None = Field(None, ge=1)
    """Requests at once; when not given 1 on a CPU and 8 on a GPU."""
    max_pixels: int | None = Field(None, ge=1)
    """Width times height to which larger pictures are scaled down; null scales none."""

    @model_validator(mode="after")
    def _replies_differ(self) -> StageRollouts:
        if not self.generation.temperature:
            raise ValueError(
                "all replies are the same at temperature 0; set generation.temperature"
            )
        return self

    def of(self, name: str, run: Path, base: AnyBase) -> RolloutsRecipe:
        """Return the recipe of the rollouts by a model. Raises ModelError for one that is gone."""
        how = self.model_dump(mode="json")
        model: dict[str, Any] = {
            "kind": "causal",
            "model": base.model_dump(mode="json", exclude={"attention"}),
            "generation": how.pop("generation"),
            "batch_size": how.pop("batch_size"),
        }
        max_pixels = how.pop("max_pixels")
        if takes_images(base):
            model |= {"kind": "image_text", "max_pixels": max_pixels}
        return RolloutsRecipe.model_validate(how | {"name": name, "run": run, "model": model})


class Stage(Config):
    """One stage: a training, or rollouts that choose questions for the next one."""

    name: str = Field(pattern=NAME)
    """Name of the training, or of the rollouts and the selection that they keep."""
    train: StageTraining | None = None
    """A training: keys of a training recipe, without name, run and base."""
    rollouts: StageRollouts | None = None
    """Rollouts: keys of their recipe, without name, run and model."""

    @model_validator(mode="after")
    def _one_kind(self) -> Stage:
        if (self.train is None) == (self.rollouts is None):
            raise ValueError(f"stage {self.name!r} needs either train or rollouts")
        return self


class StagePhantoms(Config):
    """Settings of phantoms that are drawn before anything else, where they are not there yet."""

    folder: AnyPath
    """Folder of the set."""
    images: int = Field(200, ge=16)
    """Base pictures."""
    seed: int = Field(0, ge=0)
    """Seed of everything that is drawn."""


class StagesRecipe(Config):
    """Settings of stages: each training starts from the last one's result, all in one manifest."""

    name: str = Field(pattern=NAME)
    """Name of the stages and of their evaluation."""
    phantoms: StagePhantoms | None = None
    """Phantoms to draw first; null where the data are there."""
    curation: str | None = None
    """Curation recipe that makes the run: a YAML file or the name of a shipped one; null where the
    run is there."""
    run: AnyPath | None = None
    """Run directory; that of the curation recipe when not given."""
    base: AnyBase
    """Model that the first training starts from."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """The stages in their order."""
    evaluation: TrainedEvaluation | None = None
    """Benchmarks that the base and every result are asked at the end; null asks none."""

    @model_validator(mode="after")
    def _stages_fit(self) -> StagesRecipe:
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two stages are named {name!r}; give each its own name")
        if self.run is None and self.curation is None:
            raise ValueError("name the run, or the curation recipe that makes it")
        return self


def load_stages(path: Path, overrides: Sequence[str] = ()) -> StagesRecipe:
    """Load the recipe of a YAML file. Raises RecipeError."""
    return recipe_yaml.load(StagesRecipe, path, overrides)

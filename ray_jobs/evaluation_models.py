"""Build the evaluation of a model before and after its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from evaluation.generators import AnyGenerator, GenerationConfig, MajorityGenerator
from evaluation.recipe import EvaluationRecipe
from medsift.config import Config
from training.model.base_model import AnyBase, PretrainedBase
from training.recipe import TrainingRecipe

OUTER_KEYS: Final = frozenset({"name", "seed", "runs", "run", "cache", "models", "compute"})
"""Keys of an evaluation recipe that the recipe around it sets."""
MODEL_KEYS: Final = frozenset({"generation", "batch_size", "max_pixels"})
"""Keys that belong to the model, not to the evaluation recipe."""


class TrainedEvaluation(EvaluationRecipe):
    """Settings of the evaluation before and after training: a recipe without its models."""

    name: str = "trial"
    """The recipe around it names the evaluation, so leave this out."""
    models: tuple[AnyGenerator, ...] = (MajorityGenerator(),)
    generation: GenerationConfig = GenerationConfig()
    batch_size: int | None = Field(None, ge=1)
    """Requests in one batch; None is 1 on a CPU and 8 on a GPU."""
    max_pixels: int | None = Field(None, ge=1)
    """Width times height to which larger pictures are scaled down; None is as in training."""

    @model_validator(mode="after")
    def _refuse_outer_keys(self) -> TrainedEvaluation:
        refuse_keys(self, OUTER_KEYS)
        return self

    def trial(self, **given: Any) -> EvaluationRecipe:
        """Return the recipe of one evaluation, given what differs."""
        return EvaluationRecipe.model_validate(dump_without(self, OUTER_KEYS | MODEL_KEYS) | given)


def takes_images(base: AnyBase) -> bool:
    """Return whether a base model reads pictures. Raises ModelError."""
    return base.sees() if isinstance(base, PretrainedBase) else base.kind == "embedded_vlm"


def generator_settings(
    label: str,
    training: TrainingRecipe,
    asked: TrainedEvaluation,
    *,
    sees: bool,
    result: Path | None = None,
) -> dict[str, Any]:
    """Return the settings of the generator that answers with a training's result, or its base.

    Args:
        label: Name of the model in tables.
        training: The recipe of the training.
        asked: How the model is evaluated.
        sees: Whether the base reads pictures; see `takes_images`.
        result: Folder of the training's result; None for the model before training.
    """
    base = training.base.model_dump(mode="json", exclude={"attention"})
    name = base.get("model")
    if name is not None and Path(name).expanduser().exists():
        base["model"] = str(Path(name).expanduser().absolute())
    settings: dict[str, Any] = {
        "kind": "image_text" if sees else "causal",
        "label": label,
        "model": base,
        "generation": asked.generation,
        "batch_size": asked.batch_size,
    }
    if sees:
        settings["max_pixels"] = asked.max_pixels or training.data.max_pixels
    if result is None:
        return settings
    if training.complete:
        return settings | {"model": {"kind": "transformers", "model": str(result)}}
    return settings | {"adapter": result}


def refuse_keys(part: Config, names: frozenset[str]) -> None:
    """Raise ValueError where a part of a recipe sets keys that the whole sets."""
    repeated = sorted(part.model_fields_set & names)
    if repeated:
        raise ValueError(f"the recipe around it sets {', '.join(repeated)}; leave it out here")


def dump_without(settings: Config, names: frozenset[str]) -> dict[str, Any]:
    """Return JSON-able settings without these keys."""
    return settings.model_dump(mode="json", exclude=set(names))

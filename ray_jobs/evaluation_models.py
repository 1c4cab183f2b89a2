"""The model that an evaluation asks before a training, and the one that came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from evaluation.generators import AnyGenerator, GenerationConfig, MajorityGenerator
from evaluation.recipe import EvaluationRecipe
from medsift.config import Config
from training.base_model import AnyBase, PretrainedBase
from training.recipe import TrainingRecipe

NAMED_OUTSIDE = frozenset({"name", "seed", "runs", "run", "cache", "models", "compute"})
OF_MODEL = frozenset({"generation", "batch_size", "max_pixels"})


class TrainedEvaluation(EvaluationRecipe):
    """How models before and after training are asked: an evaluation recipe without its models."""

    name: str = "trial"
    models: tuple[AnyGenerator, ...] = (MajorityGenerator(),)
    generation: GenerationConfig = GenerationConfig()
    batch_size: int | None = Field(None, ge=1)
    """Requests at once; None is 1 on a CPU and 8 on a GPU."""
    max_pixels: int | None = Field(None, ge=1)
    """Larger pictures are scaled down; None is what training has."""

    @model_validator(mode="after")
    def _the_rest_is_named_outside(self) -> TrainedEvaluation:
        refuse_given(self, NAMED_OUTSIDE)
        return self

    def trial(self, **given: Any) -> EvaluationRecipe:
        """The recipe of one evaluation, given what differs."""
        return EvaluationRecipe.model_validate(shared(self, NAMED_OUTSIDE | OF_MODEL) | given)


def looks(base: AnyBase) -> bool:
    """Whether a base looks at pictures. Raises ModelError."""
    return base.sees() if isinstance(base, PretrainedBase) else base.kind == "embedded_vlm"


def asked_model(
    label: str,
    training: TrainingRecipe,
    asked: TrainedEvaluation,
    *,
    sees: bool,
    result: Path | None = None,
) -> dict[str, Any]:
    """Settings of the generator that answers with a training's result, or with its base."""
    settings: dict[str, Any] = {
        "kind": "image_text" if sees else "causal",
        "label": label,
        "model": _model(training.base),
        "generation": asked.generation,
        "batch_size": asked.batch_size,
    }
    if sees:
        settings["max_pixels"] = asked.max_pixels or training.data.max_pixels
    if result is None:
        return settings
    if training.lora.full:
        return settings | {"model": {"kind": "transformers", "model": str(result)}}
    return settings | {"adapter": result}


def refuse_given(given: Config, names: frozenset[str]) -> None:
    """Raise ValueError where a part of a recipe names what the whole names."""
    found = sorted(given.model_fields_set & names)
    if found:
        raise ValueError(f"the recipe around it names {', '.join(found)}; leave it out here")


def shared(given: Config, names: frozenset[str]) -> dict[str, Any]:
    """JSON-able settings without the named ones."""
    return given.model_dump(mode="json", exclude=set(names))


def _model(base: AnyBase) -> dict[str, Any]:
    settings = base.model_dump(mode="json", exclude={"attention"})
    place = settings.get("model")
    if place is not None and Path(place).expanduser().exists():
        settings["model"] = str(Path(place).expanduser().absolute())
    return settings

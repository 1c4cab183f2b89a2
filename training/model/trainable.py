"""Which weights learn: adapters on the language model, whole modules, or everything."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from medsift.errors import ModelError, RecipeError
from medsift.models.language_model import quietly
from training.model.base_model import Base
from training.model.sharding import full_tensor
from training.recipe import ALL_LINEAR, LoraConfig, OptimiserConfig, TrainingRecipe

if TYPE_CHECKING:
    from torch.nn import Module, Parameter


def prepare_model(base: Base, recipe: TrainingRecipe) -> Any:
    """The base with adapters in place (PEFT), or freed as a whole; in training mode.

    Adapters are drawn from the recipe's seed. What learns is float32.

    Raises:
        RecipeError: targets or modules that the model does not have, or that reach into a frozen
            vision tower.
        ModelError: it cannot recompute activations, though the recipe asks for it.
    """
    model = base.model
    tower = vision_tower(model)
    if recipe.vision == "trained" and tower is None:
        raise RecipeError(
            f"vision: trained, but {base.name} has no vision tower; set it to frozen",
            code="trainable_parts_invalid",
        )
    if recipe.lora.full:
        _free(model, tower, recipe.vision == "trained")
    else:
        model = _adapted(base, recipe, tower)
    for parameter in trained_parameters(model).values():
        parameter.data = parameter.data.float()
    _check_tower(model, recipe.vision)
    if recipe.gradient_checkpointing:
        _recompute(base)
    set_training(model, recipe.vision)
    return model


def set_training(model: Any, vision: str) -> None:
    """Training mode, except for a vision tower that is frozen: it looks as it always did."""
    model.train()
    tower = vision_tower(model)
    if tower is not None and vision == "frozen":
        tower.eval()


def trained_parameters(model: Module) -> dict[str, Parameter]:
    """What learns, by name, in the model's own order."""
    return {name: part for name, part in model.named_parameters() if part.requires_grad}


def parameter_groups(
    model: Module, config: OptimiserConfig, whole: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Groups for the optimiser: those of `whole` modules at their own rate, vectors undecayed."""
    groups: dict[tuple[float, float], list[Parameter]] = {}
    for name, parameter in trained_parameters(model).items():
        also = any(f".{module}." in f".{name}." for module in whole)
        rate = (
            config.modules_to_save_lr
            if also and config.modules_to_save_lr is not None
            else config.lr
        )
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parts, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), parts in groups.items()
    ]


def vision_tower(model: Any) -> Module | None:
    """The part that looks at pictures, None where there is none."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    tower: Module = inner.get_encoder(modality="image")
    alone = tower is inner or tower is getattr(inner, "model", None)
    return None if alone else tower


def check_gradients(model: Any, vision: str) -> None:
    """Raise ModelError unless a step with pictures gave gradients to what should learn.

    In the vision tower one gradient is enough: models do not look at all of its layers.
    """
    tower = vision_tower(model)
    inside = set() if tower is None else {id(part) for part in tower.parameters()}
    trained = trained_parameters(model)
    silent = [
        name for name, part in trained.items() if part.grad is None and id(part) not in inside
    ]
    if silent:
        raise ModelError(
            f"{len(silent)} of the trained weights got no gradient, the first is {silent[0]}; "
            "narrow lora.targets and lora.modules_to_save to what the model uses",
            code="weights_without_gradient",
        )
    seen = [part.grad for part in trained.values() if id(part) in inside]
    if vision == "trained" and not any(
        one is not None and bool(full_tensor(one).any()) for one in seen
    ):
        raise ModelError(
            "vision: trained, but no gradient reaches the vision tower; freeze it",
            code="weights_without_gradient",
        )


def _adapted(base: Base, recipe: TrainingRecipe, tower: Module | None) -> Any:
    import torch
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    lora, whole = recipe.lora, recipe.whole_modules
    _check_whole(base, whole)
    parts = [_decoder(base.model)]
    if recipe.vision == "trained" and tower is not None:
        parts.append(tower)
    settings = PeftConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(base.model, lora, parts),
        modules_to_save=list(whole) or None,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
        task_type="CAUSAL_LM",
        revision=getattr(recipe.base, "revision", None),
    )
    torch.manual_seed(recipe.seed)
    try:
        with warnings.catch_warnings():
            # PEFT asks a question of transformers that goes by a newer name there.
            warnings.simplefilter("ignore", FutureWarning)
            return quietly(lambda: get_peft_model(base.model, settings))
    except ValueError as error:
        words = " ".join(str(error).split())[:300]
        raise RecipeError(
            f"lora.targets {lora.targets!r} do not fit {base.name}: {words}",
            code="trainable_parts_invalid",
        ) from error


def _targets(model: Module, lora: LoraConfig, parts: list[Module]) -> str:
    """A regular expression that fits the names of all linear layers in some parts of a model."""
    if lora.targets != ALL_LINEAR:
        return lora.targets
    return "|".join(_linear_pattern(model, part) for part in parts)


def _linear_pattern(model: Module, part: Module) -> str:
    import torch

    place = next(name for name, module in model.named_modules() if module is part)
    layers = {
        _whatever_number(f"{place}.{name}".lstrip("."))
        for name, module in part.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    if not layers:
        raise RecipeError(
            f"{place or 'the model'} has no linear layers that could take adapters; name "
            "lora.targets, or set vision: frozen",
            code="trainable_parts_invalid",
        )
    return "|".join(sorted(layers))


def _whatever_number(name: str) -> str:
    """A module's name as a pattern that fits it in every layer."""
    *parents, last = name.split(".")
    return r"\.".join([*(r"\d+" if part.isdigit() else re.escape(part) for part in parents), last])


def _decoder(model: Any) -> Module:
    """The language model proper, without its output layer."""
    decoder: Module = model.get_decoder()
    return decoder


def _check_whole(base: Base, whole: tuple[str, ...]) -> None:
    names = [name for name, _ in base.model.named_modules()]
    for module in whole:
        if not any(f".{name}".endswith(f".{module}") for name in names):
            raise RecipeError(
                f"lora.modules_to_save names {module!r}, which {base.name} does not have; its "
                f"parts are {', '.join(name for name in names if name and name.count('.') <= 1)}",
                code="trainable_parts_invalid",
            )


def _free(model: Module, tower: Module | None, look: bool) -> None:
    model.requires_grad_(True)
    if tower is not None:
        tower.requires_grad_(look)


def _check_tower(model: Any, vision: str) -> None:
    tower = vision_tower(model)
    if tower is None:
        return
    learning = list(trained_parameters(tower))
    if vision == "frozen" and learning:
        raise RecipeError(
            f"lora.targets or lora.modules_to_save reach into the vision tower ({learning[0]}); "
            "set vision: trained, or narrow them",
            code="trainable_parts_invalid",
        )
    if vision == "trained" and not learning:
        raise RecipeError(
            "vision: trained, but lora.targets name nothing in the vision tower",
            code="trainable_parts_invalid",
        )


def _recompute(base: Base) -> None:
    model = base.model
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"{base.name} cannot recompute activations; set gradient_checkpointing: false",
            code="weights_without_gradient",
        )
    model.activation_checkpointing_enable({"use_reentrant": False})

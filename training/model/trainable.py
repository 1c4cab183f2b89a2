"""Choose which weights learn: adapters on the language model, complete modules, or everything."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final

from medsift.errors import ModelError, RecipeError
from medsift.models.language_model import silence_transformers
from training.model.base_model import Base
from training.model.sharding import full_tensor, without_adapters
from training.recipe import ALL_LINEAR, OptimiserConfig, TrainingRecipe

if TYPE_CHECKING:
    from torch.nn import Module, Parameter


PROJECTORS: Final = ("multi_modal_projector", "visual.merger", "connector")
"""Names of what leads from the vision tower to the language model: that of LLaVA, Gemma and
InternVL, that of Qwen, and that of Idefics and SmolVLM."""


def prepare_model(base: Base, recipe: TrainingRecipe) -> Any:
    """Return the base with adapters in place (PEFT), or with its projector or all of it learning.

    It is in training mode. Adapters are drawn from the recipe's seed; what learns is float32.

    Raises:
        RecipeError: targets or modules that the model does not have, or that reach into a frozen
            vision tower.
        ModelError: it cannot recompute activations, though the recipe asks for it.
    """
    model = base.model
    tower = vision_tower(model)
    if recipe.vision == "trained" and tower is None:
        raise _invalid(
            f"vision: trained, but {base.name} has no vision tower; set it to frozen", "vision"
        )
    model = _chosen(base, recipe, tower)
    for parameter in trained_parameters(model).values():
        # AdamW's small updates vanish when they are added to a bfloat16 weight.
        parameter.data = parameter.data.float()
    # Some models keep their projector inside the tower.
    if (tower := vision_tower(model)) is not None and recipe.trainable != "projector":
        learning = list(trained_parameters(tower))
        if recipe.vision == "frozen" and learning:
            raise _invalid(
                "lora.targets or lora.modules_to_save reach into the vision tower "
                f"({learning[0]}); set vision: trained, or narrow them",
                "lora",
            )
        if recipe.vision == "trained" and not learning:
            raise _invalid(
                "vision: trained, but lora.targets name nothing in the vision tower; widen them",
                "lora.targets",
            )
    if recipe.gradient_checkpointing:
        if not base.model.supports_gradient_checkpointing:
            message = f"{base.name} cannot recompute activations; set gradient_checkpointing: false"
            raise ModelError(message, code="weights_without_gradient", model=base.name)
        # Re-entrant checkpointing passes no gradient on after embeddings that are frozen.
        base.model.activation_checkpointing_enable({"use_reentrant": False})
    set_training(model, recipe.vision)
    return model


def _chosen(base: Base, recipe: TrainingRecipe, tower: Module | None) -> Any:
    """Return the model in which only what the recipe chooses learns. Raises RecipeError."""
    if recipe.trainable == "projector":
        _train_projector(base, recipe)
    elif recipe.lora.full:
        base.model.requires_grad_(True)
        if tower is not None:
            tower.requires_grad_(recipe.vision == "trained")
    else:
        return _with_adapters(base, recipe, tower)
    return base.model


def _train_projector(base: Base, recipe: TrainingRecipe) -> None:
    """Let the projector learn and nothing else. Raises RecipeError where there is none."""
    base.model.requires_grad_(False)
    known = recipe.lora.modules_to_save or PROJECTORS
    parts = {name: part for name, part in base.model.named_modules() if name.endswith(known)}
    for part in parts.values():
        part.requires_grad_(True)
    if not trained_parameters(base.model):
        named = sorted({name for name, _ in base.model.named_modules() if 0 < name.count(".") < 3})
        raise _invalid(
            f"trainable: projector, but {base.name} has no {' or '.join(known)}; name its "
            f"projector under lora.modules_to_save; its parts are {', '.join(named)}",
            "trainable",
        )


def set_training(model: Any, vision: str) -> None:
    """Set training mode, except for a frozen vision tower, whose dropout would only add noise."""
    model.train()
    tower = vision_tower(model)
    if tower is not None and vision == "frozen":
        tower.eval()


def trained_parameters(model: Module) -> dict[str, Parameter]:
    """Return the weights that learn, by name, in the model's own order."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def parameter_groups(
    model: Module, config: OptimiserConfig, modules_to_save: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the optimiser's groups: weights of equal learning rate and equal decay."""
    groups: dict[tuple[float, float], list[Parameter]] = {}
    for name, weight in trained_parameters(model).items():
        rate = config.lr
        # Dots on both sides, so that `head` does not fit `lm_head`.
        if any(f".{module}." in f".{name}." for module in modules_to_save):
            rate = config.modules_to_save_lr or config.lr
        # Decay is for matrices; biases and norms are left alone, as is usual.
        decay = config.weight_decay if weight.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    return [
        {"params": weights, "lr": rate, "base_lr": rate, "weight_decay": decay}
        for (rate, decay), weights in groups.items()
    ]


def vision_tower(model: Any) -> Module | None:
    """Return the part that encodes pictures, None where there is none."""
    inner = without_adapters(model)
    tower: Module = inner.get_encoder(modality="image")
    # transformers returns the model itself where it finds no encoder.
    missing = tower is inner or tower is getattr(inner, "model", None)
    return None if missing else tower


def check_gradients(model: Any, vision: str) -> None:
    """Raise ModelError unless a step with pictures gave gradients, one at least in the tower."""
    tower = vision_tower(model)
    inside = set() if tower is None else {id(weight) for weight in tower.parameters()}
    trained = trained_parameters(model)
    without = [
        name for name, weight in trained.items() if weight.grad is None and id(weight) not in inside
    ]
    if without:
        message = (
            f"{len(without)} of the trained weights got no gradient, the first is {without[0]}; "
            "narrow lora.targets and lora.modules_to_save to what the model uses"
        )
        raise ModelError(message, code="weights_without_gradient", weights=without)
    grads = [weight.grad for weight in trained.values() if id(weight) in inside]
    # Sharded gradients are gathered by all workers, in the same order.
    if vision == "trained" and not any(
        grad is not None and bool(full_tensor(grad).any()) for grad in grads
    ):
        message = "vision: trained, but no gradient reaches the vision tower; set vision: frozen"
        raise ModelError(message, code="weights_without_gradient", vision=vision)


def _with_adapters(base: Base, recipe: TrainingRecipe, tower: Module | None) -> Any:
    import torch
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    lora, modules_to_save = recipe.lora, recipe.modules_to_save
    names = [name for name, _ in base.model.named_modules()]
    for module in modules_to_save:
        if not any(f".{name}".endswith(f".{module}") for name in names):
            raise _invalid(
                f"lora.modules_to_save names {module!r}, which {base.name} does not have; its "
                f"parts are {', '.join(name for name in names if name and name.count('.') <= 1)}",
                "lora.modules_to_save",
            )
    targets = lora.targets
    if targets == ALL_LINEAR:
        # PEFT's own "all-linear" would reach into a frozen vision tower.
        parts = [base.model.get_decoder()]
        if recipe.vision == "trained" and tower is not None:
            parts.append(tower)
        targets = "|".join(_linear_pattern(base.model, part) for part in parts)
    settings = PeftConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        modules_to_save=list(modules_to_save) or None,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
        task_type="CAUSAL_LM",
        revision=getattr(recipe.base, "revision", None),
    )
    # Every worker draws the adapters itself, and all must begin with the same.
    torch.manual_seed(recipe.seed)
    try:
        with warnings.catch_warnings():
            # PEFT uses a function of transformers that has a newer name there.
            warnings.simplefilter("ignore", FutureWarning)
            with silence_transformers():
                return get_peft_model(base.model, settings)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise _invalid(
            f"lora.targets {lora.targets!r} do not fit {base.name}: {reason}", "lora.targets"
        ) from error


def _linear_pattern(model: Module, part: Module) -> str:
    """Return a pattern of the names of a part's linear layers; a number in it fits any number."""
    import torch

    prefix = next(name for name, module in model.named_modules() if module is part)
    patterns = set()
    for name, module in part.named_modules():
        if isinstance(module, torch.nn.Linear):
            *parents, last = f"{prefix}.{name}".lstrip(".").split(".")
            steps = [r"\d+" if step.isdigit() else re.escape(step) for step in parents]
            patterns.add(r"\.".join([*steps, last]))
    if not patterns:
        raise _invalid(
            f"{prefix or 'the model'} has no linear layers that could take adapters; name "
            "lora.targets, or set vision: frozen",
            "lora.targets",
        )
    # Sorted, as PEFT saves the pattern with the adapter and a set has no fixed order.
    return "|".join(sorted(patterns))


def _invalid(problem: str, setting: str) -> RecipeError:
    return RecipeError(problem, code="trainable_parts_invalid", setting=setting)

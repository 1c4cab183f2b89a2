"""Find out which kind of recipe a file is, and load it even where its variables are not set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from medsift import recipe_yaml
from medsift.config import Config
from medsift.errors import RecipeError
from medsift.recipe_yaml import VARIABLE
from medsift.yaml_text import read_yaml

UNSET: Final = "not-set-"
"""Beginning of what stands for a variable that is not set: no file is called so."""


def recipe_kinds() -> dict[str, type[Config]]:
    """Return each kind of recipe, by the command that reads it."""
    from curation.construct.settings import ConstructRecipe
    from curation.probe.settings import ProbeConfig
    from curation.recipe import Recipe
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.actions.tune import TuningRecipe
    from ray_jobs.improve.recipe import ImproveRecipe
    from ray_jobs.rollouts.recipe import RolloutsRecipe
    from ray_jobs.stages.recipe import StagesRecipe
    from ray_jobs.study.recipe import StudyRecipe
    from training.recipe import TrainingRecipe

    return {
        "curate": Recipe,
        "probe": ProbeConfig,
        "rollouts": RolloutsRecipe,
        "train": TrainingRecipe,
        "evaluate": EvaluationRecipe,
        "tune": TuningRecipe,
        "study": StudyRecipe,
        "improve": ImproveRecipe,
        "construct": ConstructRecipe,
        "stages": StagesRecipe,
    }


def load_any(path: Path, overrides: Sequence[str] = ()) -> tuple[str, Config, list[str]]:
    """Return the kind of a recipe, the recipe, and the variables that it needs and lacks.

    The kind is that of which the recipe has the fewest unknown and missing keys. Raises RecipeError
    for what is no valid recipe of it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        settings = read_yaml(text)
    except (OSError, ValueError) as error:
        # The usual loader says what is wrong with the file.
        recipe_yaml.load(Config, path, overrides)
        raise RecipeError(str(error), code="recipe_unreadable") from error
    missing = sorted(
        {name for name, default in VARIABLE.findall(text) if not default and name not in os.environ}
        - {match[1] for match in VARIABLE.finditer(text) if match[2] is not None}
    )
    for name in missing:
        text = text.replace(f"${{{name}}}", f"${{{name}:{UNSET}{name}}}")
    given = set(settings) if isinstance(settings, dict) else set()
    kinds = recipe_kinds()
    kind = min(kinds, key=lambda one: _misfit(kinds[one], given))
    return kind, recipe_yaml.parse(kinds[kind], text, overrides, origin=str(path)), missing


def _misfit(kind: type[Config], given: set[str]) -> tuple[int, int]:
    fields = kind.model_fields
    required = {name for name, field in fields.items() if field.is_required()}
    return len(given - set(fields)) + len(required - given), -len(given & set(fields))

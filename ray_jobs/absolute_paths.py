"""Make a recipe's relative paths absolute, so that it can leave its directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.storage.locations import scheme

if TYPE_CHECKING:
    from curation.construct.settings import ConstructRecipe
    from curation.recipe import Recipe
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.study.recipe import StudyRecipe
    from training.recipe import TrainingRecipe

SOURCE_PATH_KEYS: Final = ("path", "image_root", "captions")
HUB_READER: Final = "hf"
LOCAL_DIR: Final = "local-dir:"


def with_absolute_paths(recipe: Recipe, base: Path) -> Recipe:
    """Return the recipe with every relative path made absolute under the folder `base`.

    URLs and absolute paths stay unchanged. A value that may be a path or the name on a hub (the
    path of an `hf` source, `pretrained` weights) counts as a path where it exists under `base`.
    """
    settings = recipe.resolved()
    settings["runs"] = _absolute(str(recipe.runs), base)
    settings["cache"] = _absolute(str(recipe.cache_dir), base)
    for source in settings["sources"]:
        for key in SOURCE_PATH_KEYS:
            path = source.get(key)
            on_hub = key == "path" and source["reader"] == HUB_READER
            if path is not None and (not on_hub or (base / path).exists()):
                source[key] = _absolute(path, base)
    for benchmark in settings["decontaminate"]["benchmarks"]:
        for key in ("index", "run"):
            if benchmark[key] is not None:
                benchmark[key] = _absolute(benchmark[key], base)
    encoder = settings["encoder"]
    model, weights = encoder.get("model"), encoder.get("pretrained")
    if model is not None and model.startswith(LOCAL_DIR):
        encoder["model"] = LOCAL_DIR + _absolute(model.removeprefix(LOCAL_DIR), base)
    if weights is not None and (base / weights).is_file():
        encoder["pretrained"] = _absolute(weights, base)
    return type(recipe).model_validate(settings)


def training_with_absolute_paths(recipe: TrainingRecipe, base: Path) -> TrainingRecipe:
    """Return a training recipe with absolute paths: of run, storage and a model in a folder."""
    settings = recipe.resolved()
    settings["run"] = _absolute(str(recipe.run), base)
    _move_training(settings, base)
    return type(recipe).model_validate(settings)


def evaluation_with_absolute_paths(recipe: EvaluationRecipe, base: Path) -> EvaluationRecipe:
    """Return an evaluation recipe with absolute paths: of its folders, models and benchmarks."""
    settings = recipe.resolved()
    for key in ("runs", "run", "cache"):
        if settings[key] is not None:
            settings[key] = _absolute(settings[key], base)
    for model in settings["models"]:
        for key in ("adapter", "train", "path"):
            if model.get(key) is not None:
                model[key] = _absolute(model[key], base)
        if isinstance(model.get("model"), dict):
            _move_where_there(model["model"], "model", base)
    for benchmark in settings["benchmarks"]:
        _move_where_there(benchmark, "path", base)
    return type(recipe).model_validate(settings)


def study_with_absolute_paths(recipe: StudyRecipe, base: Path) -> StudyRecipe:
    """Return a study's recipe with absolute paths: of run, cache, base model and benchmarks."""
    settings = recipe.resolved()
    settings["run"] = _absolute(str(recipe.run), base)
    if recipe.cache is not None:
        settings["cache"] = _absolute(str(recipe.cache), base)
    for arm in settings["arms"].values():
        if arm["run"] is not None:
            arm["run"] = _absolute(arm["run"], base)
    _move_training(settings["training"], base)
    for benchmark in settings["evaluation"]["benchmarks"]:
        _move_where_there(benchmark, "path", base)
    return type(recipe).model_validate(settings)


def construct_with_absolute_paths(recipe: ConstructRecipe, base: Path) -> ConstructRecipe:
    """Return the recipe of a construction with absolute paths: of its run and its replies."""
    settings = recipe.resolved()
    settings["run"] = _absolute(settings["run"], base)
    if settings["replies"] is not None:
        settings["replies"] = _absolute(settings["replies"], base)
    return type(recipe).model_validate(settings)


def _move_training(settings: dict[str, Any], base: Path) -> None:
    """Make the storage and the base model of a training's settings absolute."""
    checkpoints = settings["checkpoints"]
    if checkpoints["storage"] is not None:
        checkpoints["storage"] = _absolute(checkpoints["storage"], base)
    _move_where_there(settings["base"], "model", base)


def _move_where_there(settings: dict[str, Any], key: str, base: Path) -> None:
    """Make a value absolute that is a path where it exists, and else a name on a hub."""
    named = settings.get(key)
    if named is not None and (base / Path(named).expanduser()).exists():
        settings[key] = _absolute(str(Path(named).expanduser()), base)


def _absolute(location: str, base: Path) -> str:
    if scheme(location):
        return location
    # Not Path's `/`, which would drop a trailing slash.
    return os.path.join(base.absolute(), location)  # noqa: PTH118

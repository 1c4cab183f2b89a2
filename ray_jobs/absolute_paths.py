"""Where a recipe's relative paths stand, once it leaves the directory it was written for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from curation.recipe import Recipe
from medsift.storage.locations import scheme
from training.recipe import TrainingRecipe

IN_SOURCES: Final = ("path", "image_root", "captions")
HUB: Final = "hf"
LOCAL_DIR: Final = "local-dir:"


def anchored(recipe: Recipe, base: Path) -> Recipe:
    """The same recipe with every relative path made absolute under the folder `base`.

    URLs and absolute paths stay as they are. What may be a path or a name of a hub (the path of
    an `hf` source, `pretrained` weights) counts as a path where it exists under `base`.
    """
    settings = recipe.resolved()
    settings["runs"] = _absolute(str(recipe.runs), base)
    settings["cache"] = _absolute(str(recipe.cache_dir), base)
    settings["sources"] = [_source(source, base) for source in settings["sources"]]
    settings["encoder"] = _encoder(settings["encoder"], base)
    return Recipe.model_validate(settings)


def anchored_training(recipe: TrainingRecipe, base: Path) -> TrainingRecipe:
    """The same for a training: its run, a folder of trainings, and a model that is a folder."""
    settings = recipe.resolved()
    settings["run"] = _absolute(str(recipe.run), base)
    storage, model = recipe.checkpoints.storage, settings["base"].get("model")
    if storage is not None:
        settings["checkpoints"]["storage"] = _absolute(storage, base)
    if model is not None and (base / Path(model).expanduser()).exists():
        settings["base"]["model"] = _absolute(str(Path(model).expanduser()), base)
    return TrainingRecipe.model_validate(settings)


def _source(source: Mapping[str, Any], base: Path) -> dict[str, Any]:
    places = {key: source[key] for key in IN_SOURCES if source.get(key) is not None}
    if source["reader"] == HUB and not (base / source["path"]).exists():
        del places["path"]
    return {**source, **{key: _absolute(place, base) for key, place in places.items()}}


def _encoder(encoder: Mapping[str, Any], base: Path) -> dict[str, Any]:
    model, weights = encoder.get("model"), encoder.get("pretrained")
    found = dict(encoder)
    if model is not None and model.startswith(LOCAL_DIR):
        found["model"] = LOCAL_DIR + _absolute(model.removeprefix(LOCAL_DIR), base)
    if weights is not None and (base / weights).is_file():
        found["pretrained"] = _absolute(weights, base)
    return found


def _absolute(place: str, base: Path) -> str:
    if scheme(place):
        return place
    # Not Path's `/`, which would drop a trailing slash.
    return os.path.join(base.absolute(), place)  # noqa: PTH118

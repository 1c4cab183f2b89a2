"""Make a recipe's relative paths absolute, so that it can leave its directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsift.storage.locations import scheme

if TYPE_CHECKING:
    from curation.recipe import Recipe
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
    storage, model = recipe.checkpoints.storage, settings["base"].get("model")
    if storage is not None:
        settings["checkpoints"]["storage"] = _absolute(storage, base)
    if model is not None and (base / Path(model).expanduser()).exists():
        settings["base"]["model"] = _absolute(str(Path(model).expanduser()), base)
    return type(recipe).model_validate(settings)


def _absolute(location: str, base: Path) -> str:
    if scheme(location):
        return location
    # Not Path's `/`, which would drop a trailing slash.
    return os.path.join(base.absolute(), location)  # noqa: PTH118

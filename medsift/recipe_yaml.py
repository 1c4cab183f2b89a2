"""Load YAML as a typed recipe, with overrides, environment variables and errors in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from medsift.errors import RecipeError
from medsift.validation_errors import explain, invalid_paths
from medsift.yaml_text import read_yaml

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")
SECRET_WORDS: Final = re.compile(
    r"(?:^|_)(?:(?:api_?)?keys?|secrets?|tokens?|pass|credentials?)(?:_|$)|passw|passphrase",
    re.IGNORECASE,
)
"""Words in the name of a variable that holds a secret, such as AWS_SECRET_ACCESS_KEY."""
Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read YAML, apply `a.b=c` overrides, fill in `${VAR:default}`, check. Raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        message = f"no recipe at {path}; name a YAML file, or see recipes/"
        raise RecipeError(message, code="recipe_missing", path=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the recipe {path}: {error}"
        raise RecipeError(message, code="recipe_unreadable", path=str(path)) from error
    return parse(model, text, overrides, origin=str(path))


def parse(
    model: type[Model], text: str, overrides: Sequence[str] = (), *, origin: str = "recipe"
) -> Model:
    """Return the recipe of YAML text; see `load`.

    Args:
        model: what kind of recipe it is.
        text: the YAML.
        overrides: settings of the form `a.b=c`, applied in their order.
        origin: what errors call the text.
    """
    try:
        settings = read_yaml(text)
    except yaml.YAMLError as error:
        message = f"{origin} is not YAML: {' '.join(str(error).split())}"
        raise RecipeError(message, code="recipe_unreadable") from error
    if not isinstance(settings, dict):
        message = f"{origin} is a {type(settings).__name__}; a recipe is a mapping of keys"
        raise RecipeError(message, code="recipe_unreadable")
    return validated(model, settings, overrides, origin=origin)


def validated(
    model: type[Model],
    settings: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    origin: str = "recipe",
) -> Model:
    """Return the recipe of settings after the overrides have changed them. Raises RecipeError.

    Args:
        model: what kind of recipe it is.
        settings: by key; the overrides change them in place.
        overrides: settings of the form `a.b=c`, applied in their order.
        origin: what errors call the recipe.
    """
    for override in overrides:
        _override(settings, override)
    try:
        return model.model_validate(_fill(settings, os.environ))
    except ValidationError as error:
        message = f"{origin}: {explain(error, model)}"
        raise RecipeError(
            message, code="recipe_invalid", paths=invalid_paths(error, model)
        ) from error


def _override(settings: dict[str, Any], override: str) -> None:
    """Set one dotted path, for example `dedup.image.cosine=0.97` or `sources.0.path=x`."""
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise _override_error(override, " is not of the form a.b=value")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise _override_error(override, ": the value is not YAML") from error
    *parents, last = dotted.split(".")
    owner: Any = settings
    for key in parents:
        step = _key_in(owner, key, override)
        if isinstance(owner, dict) and owner.get(key) is None:
            owner[key] = {}
        owner = owner[step]
    owner[_key_in(owner, last, override)] = value


def _key_in(owner: Any, key: str, override: str) -> str | int:
    """Return a key of a mapping, or the index in a list that it names. Raises RecipeError."""
    if isinstance(owner, dict):
        return key
    if not isinstance(owner, list):
        raise _override_error(override, f": {key!r} is under a value that has no keys")
    if not key.isdigit() or int(key) >= len(owner):
        raise _override_error(override, f": {key!r} is not a number from 0 to {len(owner) - 1}")
    return int(key)


def _override_error(override: str, problem: str) -> RecipeError:
    message = f"--set {override!r}{problem}"
    return RecipeError(message, code="recipe_override_invalid", override=override)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace `${VAR}` and `${VAR:default}` in every string."""
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _variable(match, variables), value)
    return value


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = match.group(1), match.group(2)
    if SECRET_WORDS.search(name):
        # A recipe may come from anyone, and what it is filled with goes into fingerprints, logs,
        # manifests, and requests to addresses that the recipe names.
        message = (
            f"the recipe asks for the environment variable {name}, which by its name holds a "
            "secret; secrets are read where they are used and never put into a recipe: name "
            "another variable"
        )
        raise RecipeError(message, code="credentials_in_recipe", name=name)
    if name not in variables and default is None:
        message = (
            f"the recipe needs the environment variable {name}: set it, or give it a default "
            f"as in ${{{name}:default}}"
        )
        raise RecipeError(message, code="environment_variable_missing", name=name)
    return variables.get(name, default)

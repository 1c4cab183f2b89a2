"""Load YAML as a typed recipe: overrides, environment variables, errors in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from medsift.errors import RecipeError
from medsift.validation_errors import explain, invalid_paths

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")
Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read a YAML recipe, apply `a.b=c` overrides, fill in `${VAR:default}`, validate.

    Raises RecipeError naming the path in the recipe, the value and what is allowed.
    """
    return parse(model, _read(path), overrides, origin=str(path))


def parse(
    model: type[Model], text: str, overrides: Sequence[str] = (), *, origin: str = "recipe"
) -> Model:
    """Return the recipe of YAML text; see `load`. `origin` names the text in errors."""
    try:
        settings = yaml.load(text, Loader=_NoRepeatsLoader)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{origin} is not YAML: {' '.join(str(error).split())}", code="recipe_unreadable"
        ) from error
    if not isinstance(settings, dict):
        raise RecipeError(
            f"{origin} is a {type(settings).__name__}; a recipe is a mapping of keys",
            code="recipe_unreadable",
        )
    return validated(model, settings, overrides, origin=origin)


def validated(
    model: type[Model],
    settings: dict[str, Any],
    overrides: Sequence[str] = (),
    *,
    origin: str = "recipe",
) -> Model:
    """Return the recipe of settings, which the overrides change first. Raises RecipeError."""
    for override in overrides:
        _override(settings, override)
    try:
        return model.model_validate(_fill(settings, os.environ))
    except ValidationError as error:
        raise RecipeError(
            f"{origin}: {explain(error, model)}",
            code="recipe_invalid",
            paths=invalid_paths(error, model),
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(
            f"no recipe at {path}; name a YAML file, or see recipes/", code="recipe_missing"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"cannot read the recipe {path}: {error}", code="recipe_unreadable"
        ) from error


def _override(settings: dict[str, Any], override: str) -> None:
    """Set one dotted path, for example `dedup.image.cosine=0.97` or `sources.0.path=x`."""
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise RecipeError(
            f"--set {override!r} is not of the form a.b=value",
            code="recipe_override_invalid",
            override=override,
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"--set {override!r}: the value is not YAML",
            code="recipe_override_invalid",
            override=override,
        ) from error
    *parents, last = dotted.split(".")
    owner: Any = settings
    for key in parents:
        owner = _descend(owner, key, override)
    if isinstance(owner, list):
        owner[_index(owner, last, override)] = value
    elif isinstance(owner, dict):
        owner[last] = value
    else:
        raise RecipeError(
            f"--set {override!r}: {'.'.join(parents)} is a value and has no keys",
            code="recipe_override_invalid",
            override=override,
        )


def _descend(owner: Any, key: str, override: str) -> Any:
    """Return what is under a key, made where there is nothing. Raises RecipeError."""
    if isinstance(owner, list):
        return owner[_index(owner, key, override)]
    if isinstance(owner, dict):
        if owner.get(key) is None:
            owner[key] = {}
        return owner[key]
    raise RecipeError(
        f"--set {override!r}: {key!r} is under a value that has no keys",
        code="recipe_override_invalid",
        override=override,
    )


def _index(items: list[Any], key: str, override: str) -> int:
    """Return the place in a list that a key names. Raises RecipeError."""
    if not key.isdigit() or int(key) >= len(items):
        raise RecipeError(
            f"--set {override!r}: {key!r} is not a number from 0 to {len(items) - 1}",
            code="recipe_override_invalid",
            override=override,
        )
    return int(key)


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
    """Return the value of one `${VAR:default}`. Raises RecipeError without either."""
    name, default = match.group(1), match.group(2)
    if name in variables:
        return variables[name]
    if default is None:
        raise RecipeError(
            f"the recipe needs the environment variable {name}: set it, or give it a default "
            f"as in ${{{name}:default}}",
            code="environment_variable_missing",
            name=name,
        )
    return default


class _NoRepeatsLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: YAML would keep the last one without notice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

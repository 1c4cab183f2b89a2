"""Explain validation errors in one line each: path, value, what is allowed, the nearest key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from medsift.config import Config
from medsift.storage.locations import without_secrets

MAX_EXPLAINED: Final = 3


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the problems of a validation error against `model`, joined by semicolons."""
    problems = _problems(error, model)
    lines = [_explain_problem(problem, model) for problem in problems[:MAX_EXPLAINED]]
    if len(problems) > MAX_EXPLAINED:
        lines.append(f"and {len(problems) - MAX_EXPLAINED} more")
    return without_secrets("; ".join(lines))


def invalid_paths(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return the dotted path of each problem, in order; `recipe` for the recipe itself."""
    return [_dotted(model, problem["loc"]) for problem in _problems(error, model)]


def _problems(error: ValidationError, model: type[BaseModel]) -> list[ErrorDetails]:
    """Return all problems but keys that are missing because their old name was given."""
    problems = error.errors(include_url=False)
    renamed = {
        (*problem["loc"][:-1], _name_today(problem, model))
        for problem in problems
        if problem["type"] == "extra_forbidden"
    }
    return [
        problem
        for problem in problems
        if problem["type"] != "missing" or problem["loc"] not in renamed
    ]


def _dotted(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """Return the path of a location without the tags that pydantic adds for a union."""
    parts = []
    for depth, part in enumerate(location):
        owners = _owners(model, location[:depth])
        is_key = any(part in owner.model_fields for owner in owners)
        # An index is no tag, even where a union is chosen by the literal 0 or 1.
        is_tag = isinstance(part, str) and any(_is_tag(owner, part) for owner in owners)
        if is_key or not is_tag:
            parts.append(str(part))
    return ".".join(parts) or "recipe"


def _explain_problem(problem: ErrorDetails, model: type[BaseModel]) -> str:
    location = problem["loc"]
    path = _dotted(model, location)
    if problem["type"] == "extra_forbidden":
        today = _name_today(problem, model)
        if today is not None:
            return f"{path}: this key is now called {today!r}; rename it"
        owners = _owners(model, location[:-1])
        names = sorted({name for owner in owners for name in owner.model_fields})
        close = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.6)
        remedy = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(names)}"
        return f"{path}: unknown key; {remedy}"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    value, message = repr(problem["input"]), problem["msg"].removeprefix("Value error, ")
    value = value if len(value) <= 60 else value[:57] + "..."
    return f"{path}: {value} is not valid: {message}"


def _name_today(problem: ErrorDetails, model: type[BaseModel]) -> str | None:
    """Return the present name of an earlier version's key; None for another unknown key."""
    *above, key = problem["loc"]
    owners = _owners(model, above)
    renames = (owner.renamed_keys for owner in owners if issubclass(owner, Config))
    return next((names[str(key)] for names in renames if str(key) in names), None)


def _owners(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """Return the models that may have keys below `location`."""
    owners: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [owner for owner in owners if _is_tag(owner, part)]
        below = [
            named
            for owner in owners
            if part in owner.model_fields
            for named in _models_in(owner.model_fields[part].annotation)
        ]
        owners = below or tagged or owners
    return owners


def _is_tag(owner: type[BaseModel], part: int | str) -> bool:
    """Return whether `part` is the literal by which a union chooses `owner`."""
    return any(
        part in typing.get_args(field.annotation)
        for field in owner.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    )


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models named anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return []
    return [model for inner in typing.get_args(annotation) for model in _models_in(inner)]

"""Explain validation errors in a line each: the path, the value, what is allowed, the near key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Sequence
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
    """Return the dotted path of each problem, in order; `recipe` for the whole."""
    return [_dotted(model, problem["loc"]) for problem in _problems(error, model)]


def _problems(error: ValidationError, model: type[BaseModel]) -> list[ErrorDetails]:
    """Return all problems but keys that are missing because their old name was given."""
    problems = error.errors(include_url=False)
    renamed = {
        (*problem["loc"][:-1], _name_today(problem, model))
        for problem in problems
        if problem["type"] == "extra_forbidden"
    }
    return [one for one in problems if one["type"] != "missing" or one["loc"] not in renamed]


def _dotted(model: type[BaseModel], location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in _without_tags(model, location)) or "recipe"


def _explain_problem(problem: ErrorDetails, model: type[BaseModel]) -> str:
    location = problem["loc"]
    path = _dotted(model, location)
    if problem["type"] == "extra_forbidden":
        today = _name_today(problem, model)
        if today is not None:
            return f"{path}: this key is now called {today!r}; rename it"
        owners = _owners(model, location[:-1])
        names = sorted({name for owner in owners for name in owner.model_fields})
        return f"{path}: unknown key{_nearest(str(location[-1]), names)}"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {_short(problem['input'])} is not valid: {message}"


def _name_today(problem: ErrorDetails, model: type[BaseModel]) -> str | None:
    """Return the name today of a key of an earlier version, where an owner lists it."""
    *above, key = problem["loc"]
    owners = _owners(model, above)
    renames = (owner.renamed_keys for owner in owners if issubclass(owner, Config))
    return next((names[str(key)] for names in renames if str(key) in names), None)


def _nearest(key: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {', '.join(names)}"


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


def _without_tags(model: type[BaseModel], location: Sequence[int | str]) -> Iterator[int | str]:
    """Yield the location without the tags that pydantic adds for a discriminated union."""
    for depth, part in enumerate(location):
        owners = _owners(model, location[:depth])
        is_key = any(part in owner.model_fields for owner in owners)
        if isinstance(part, str) and not is_key and any(_is_tag(owner, part) for owner in owners):
            continue
        yield part


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


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""Validation errors in one line each: the path, the value, what is allowed, the nearest key."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from medsift.config import Config
from medsift.storage.locations import without_secrets

SHOWN = 3


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """All problems of a validation error against `model`, joined by semicolons."""
    problems = error.errors(include_url=False)
    lines = [_problem(problem, model) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more")
    return without_secrets("; ".join(lines))


def invalid_paths(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return the dotted path of each problem, in order; `recipe` for the whole."""
    return [_dotted(model, problem["loc"]) for problem in error.errors(include_url=False)]


def _dotted(model: type[BaseModel], location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in _plain(model, location)) or "recipe"


def _problem(problem: ErrorDetails, model: type[BaseModel]) -> str:
    location = problem["loc"]
    owners = _owners(model, location[:-1])
    names = sorted({name for owner in owners for name in owner.model_fields})
    path = _dotted(model, location)
    if problem["type"] == "extra_forbidden":
        today = _name_today(str(location[-1]), owners)
        if today is not None:
            return f"{path}: this key is now called {today!r}; rename it"
        return f"{path}: unknown key{_nearest(str(location[-1]), names)}"
    if problem["type"] == "missing":
        return f"{path}: this key is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {_short(problem['input'])} is not valid: {message}"


def _name_today(key: str, owners: Sequence[type[BaseModel]]) -> str | None:
    """Return the name today of a key of an earlier version, where an owner lists it."""
    renames = (owner.renamed_keys for owner in owners if issubclass(owner, Config))
    return next((names[key] for names in renames if key in names), None)


def _nearest(key: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    allowed = ", ".join(names)
    return f"; did you mean {close[0]!r}?" if close else f"; allowed: {allowed}"


def _owners(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """The models that hold the keys below `location`."""
    owners: list[type[BaseModel]] = [model]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [owner for owner in owners if _tag(owner, part)]
        below = [
            found
            for owner in owners
            if part in owner.model_fields
            for found in _models(owner.model_fields[part].annotation)
        ]
        owners = below or tagged or owners
    return owners


def _plain(model: type[BaseModel], location: Sequence[int | str]) -> Iterator[int | str]:
    """The location without the tags that pydantic adds for a discriminated union."""
    for place, part in enumerate(location):
        owners = _owners(model, location[:place])
        known = any(part in owner.model_fields for owner in owners)
        if isinstance(part, str) and not known and any(_tag(owner, part) for owner in owners):
            continue
        yield part


def _tag(owner: type[BaseModel], part: int | str) -> bool:
    """Whether `part` is the literal by which a union chooses `owner`."""
    return any(
        part in typing.get_args(field.annotation)
        for field in owner.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    )


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models named anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return []
    return [found for inner in typing.get_args(annotation) for found in _models(inner)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

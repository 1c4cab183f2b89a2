"""Load lists of given and family names, which the package Faker ships for some 80 places."""

from __future__ import annotations

import importlib
import pkgutil
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from medsift.errors import ModelError


@dataclass(frozen=True, slots=True)
class NameLists:
    """Single words, folded by `folded`, that are given names or family names somewhere."""

    given: frozenset[str]
    family: frozenset[str]


def folded(word: str) -> str:
    """Return a word without case, accents and apostrophes, as it is looked up in the lists."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(sign for sign in plain if sign.isalpha() or sign == "-")


@cache
def name_lists() -> NameLists:
    """Return the lists, read once. Raises ModelError when the package is not installed."""
    try:
        package = importlib.import_module("faker.providers.person")
    except ImportError as error:
        raise ModelError(
            f"privacy.text and privacy.pictures need the package faker ({error}): "
            "pip install 'medsift[privacy]', or set both to off",
            code="package_missing",
            package="faker",
        ) from error
    given, family = set[str](), set[str]()
    for module in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"{package.__name__}.{module.name}").Provider
        for attribute in dir(provider):
            if not attribute.startswith("_") and "name" in attribute:
                into = given if "first" in attribute else family if "last" in attribute else None
                values = getattr(provider, attribute)
                if into is not None and isinstance(values, Iterable | Mapping):
                    into |= _words(values)
    return NameLists(frozenset(given), frozenset(family))


def _words(values: Iterable[Any]) -> set[str]:
    words = (folded(value) for value in values if isinstance(value, str) and " " not in value)
    return {word for word in words if len(word) > 1}

"""Read the word lists of the languages whose texts are compared in meaning, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from medsift.normal_form import answer_words

LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "ja", "ko", "pt", "ru", "zh")
UNSPACED: Final = frozenset({"ja", "zh"})
"""Languages written without spaces, whose words are read by the longest entry."""


@dataclass(frozen=True, slots=True)
class WordLists:
    """The words of one language.

    `concept` maps a word to its concept: "" for a word without meaning of its own, "group:value"
    for one that excludes the others of its group, "=name" for a synonym. `rewrite` replaces runs
    of words before that. `classes` are words that a number or letter completes (grade II),
    `letters` those that a letter completes (hepatitis B), `relations` words whose two sides differ
    (larger than), `prefixes` those that turn a word into its opposite (afebrile). `states` maps the
    noun and the participle of a state to one concept.

    Of words that say something in some places only (`places.py`), `objects` are the picture and the
    patient and `asks` the words after which they are asked for; `can` says nothing next to one of
    `seen`, nor does `have` of the patient, nor `on` before a side or a picture. Around one of
    `joints` two parts may stand in either order, and a concept of `free` anywhere. `objects_by` are
    the words or endings that mark what something is done to.
    """

    language: str
    markers: frozenset[str]
    concept: Mapping[str, str]
    rewrite: Mapping[tuple[str, ...], tuple[str, ...]]
    classes: frozenset[str]
    letters: frozenset[str]
    relations: frozenset[str]
    prefixes: tuple[str, ...]
    tails: tuple[str, ...]
    after_word: frozenset[str]
    states: Mapping[str, str]
    objects: frozenset[str]
    asks: frozenset[str]
    can: frozenset[str]
    seen: frozenset[str]
    have: frozenset[str]
    on: frozenset[str]
    joints: frozenset[str]
    free: frozenset[str]
    objects_by: frozenset[str]
    article: str
    elisions: bool
    decimal_comma: bool


@cache
def word_lists(language: str) -> WordLists:
    """Return the lists of one of `LANGUAGES`."""
    data = _read(language)
    sets = "classes letters relations after_word objects asks can seen have on joints objects_by"
    return WordLists(
        language=language,
        markers=frozenset(data.get("markers", "").split()),
        concept=_concepts(data),
        rewrite={
            tuple(phrase.split()): tuple(words.split())
            for phrase, words in data.get("rewrite", {}).items()
        },
        prefixes=tuple(data.get("prefixes", ())),
        tails=tuple(sorted(data.get("tails", "").split(), key=len, reverse=True)),
        states={
            word: f"={name}"
            for name, words in data.get("states", {}).items()
            for word in words.split()
        },
        free=frozenset(f"={name}" for name in data.get("free", "").split()),
        article=data.get("article", ""),
        elisions=data.get("elisions") == "true",
        decimal_comma=data.get("decimal_comma") == "true",
        **{name: frozenset(data.get(name, "").split()) for name in sets.split()},
    )


@cache
def other_markers() -> Mapping[str, frozenset[str]]:
    """Return function words of languages without lists, so that none passes for a listed one."""
    return {code: frozenset(words.split()) for code, words in _read("others").items()}


@cache
def units() -> Mapping[str, tuple[str, float]]:
    """Return the dimension and factor of each unit that can be turned into others."""
    return {
        unit: (dimension, float(factor))
        for dimension, spellings in _read("units").items()
        for unit, factor in spellings.items()
    }


def _read(name: str) -> dict[str, Any]:
    import yaml

    file = resources.files("curation.meaning") / "lists" / f"{name}.yaml"
    # Every entry is text: "no" and "on" are words here.
    data: dict[str, Any] = yaml.load(file.read_text("utf-8"), yaml.BaseLoader)
    return data


def _concepts(data: Mapping[str, Any]) -> dict[str, str]:
    endings = tuple(data.get("endings", ("",)))
    concept: dict[str, str] = {}
    for name, words in data.get("same", {}).items():
        concept |= dict.fromkeys(_forms(words, endings), f"={name}")
    for group, values in data["contrast"].items():
        for value, words in values.items():
            concept |= dict.fromkeys(_forms(words, endings), f"{group}:{value}")
    return concept | dict.fromkeys(_forms(data["drop"], endings), "")


def _forms(words: str, endings: tuple[str, ...]) -> list[str]:
    """Return the words in normal form; a stem that ends in "-" with each ending."""
    forms = []
    for word in words.split():
        stem = word.removesuffix("-")
        many = [stem + ending for ending in endings] if stem != word else [word]
        forms += [token for form in many for token in answer_words(form)[:1]]
    return forms

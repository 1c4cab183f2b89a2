"""Read the search for copies of pictures that an earlier run of the directory left.

What it found, and what was decided by it, counts under equal settings alone.
"""

from __future__ import annotations

from typing import Final

from curation.dedup.search_tables import read_search
from curation.matching.earlier_search import PictureSearch
from curation.recipe import Recipe
from curation.stages.stage import StageContext
from medsift import records

SEARCH_VERSION: Final = 1
"""Raised when the search for copies decides a pair in another way."""

DECISION_VERSION: Final = 1
"""Raised when the fate of a row, or a key of its words, is decided in another way."""


def earlier_search(context: StageContext) -> PictureSearch | None:
    """Return the search of the newest earlier run, None where it had other settings or is gone."""
    before = context.earlier()
    return None if before is None else read_search(before, search_settings(context.recipe))


def search_settings(recipe: Recipe) -> str:
    """Return the identity of what decides a pair of pictures, whichever pictures there are."""
    return records.fingerprint(
        [
            SEARCH_VERSION,
            recipe.dedup.image.with_first_names(recipe.dedup.image.model_dump(mode="json")),
            recipe.neighbors.identity(),
            recipe.images.model_dump(mode="json"),
            recipe.encoder.fingerprint(),
        ]
    )


def decision_settings(recipe: Recipe) -> str:
    """Return the identity of what decides a group of samples, given them and their copies."""
    dedup = recipe.dedup.with_first_names(recipe.dedup.model_dump(mode="json"))
    return records.fingerprint([DECISION_VERSION, dedup, recipe.encoder.fingerprint(), recipe.seed])


def key_settings(recipe: Recipe) -> str:
    """Return the identity of what decides the keys of a text."""
    text = recipe.dedup.text
    return records.fingerprint(
        [DECISION_VERSION, text.with_first_names(text.model_dump(mode="json")), recipe.seed]
    )

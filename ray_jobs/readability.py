"""Check for `medsift doctor` that a recipe's encoder can read the texts of its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medsift.errors import MedSiftError
from ray_jobs.console import one_line
from ray_jobs.doctor import Finding

ROWS: Final = 2_000
"""Rows of each source that are checked."""
SUBJECT: Final = "recipe's texts"
REMEDY: Final = "name an encoder trained on these languages, or compare by characters"


def check_texts(recipe: str) -> Finding:
    """Return which first texts of a recipe (a file or a shipped name) its encoder cannot read."""
    from curation.preview import first_texts
    from curation.recipe import load_recipe
    from curation.unread import Census
    from ray_jobs.absolute_paths import with_absolute_paths
    from ray_jobs.cli_args import recipe_path

    try:
        loaded = with_absolute_paths(load_recipe(recipe_path(recipe)), Path.cwd())
        texts = first_texts(loaded, ROWS)
        census = Census.of(texts, loaded.encoder.reader().reads(texts))
    except MedSiftError as error:
        return Finding("FAIL", SUBJECT, one_line(error), "correct the recipe or its sources")
    label = loaded.encoder.label
    warning = census.sentence(label, first=True)
    if warning is not None:
        return Finding("WARN", SUBJECT, warning, REMEDY)
    return Finding("OK", SUBJECT, f"encoder {label} reads the first {census.texts:,} distinct ones")

"""The doctor's look at a recipe: whether its encoder can read the texts of its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from medsift.errors import MedSiftError
from ray_jobs.console import one_line
from ray_jobs.doctor import Finding

ROWS: Final = 2_000
"""Rows of each source that are looked at."""
SUBJECT: Final = "recipe's texts"
MEND: Final = "name an encoder that was trained on these languages, or go on by characters"


def texts(recipe: str) -> Finding:
    """What the encoder of a recipe, a file or a shipped name, cannot read of its first rows."""
    from curation.preview import first_texts
    from curation.recipe import load_recipe
    from curation.unread import Census
    from ray_jobs.absolute_paths import anchored
    from ray_jobs.cli_args import recipe_path

    try:
        loaded = anchored(load_recipe(recipe_path(recipe)), Path.cwd())
        some = first_texts(loaded, ROWS)
        census = Census.of(some, loaded.encoder.reader().reads(some))
    except MedSiftError as error:
        return Finding("FAIL", SUBJECT, one_line(error), "correct the recipe or its sources")
    label = loaded.encoder.label
    said = census.sentence(label, first=True)
    if said is not None:
        return Finding("WARN", SUBJECT, said, MEND)
    return Finding("OK", SUBJECT, f"encoder {label} reads the first {census.texts:,} distinct ones")

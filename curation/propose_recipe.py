"""Write a first recipe for a file or folder that nobody has described yet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curation.recipe import Recipe
from curation.sources.propose_source import Proposal, propose_source, shown
from medsift import recipe_yaml
from medsift.vocabulary import STRATUM_TAGS

GROUPABLE: Final = ("modality", "body_part", "task_type", "answer_type")
"""Tags whose few values may name strata. Every sample has an `answer_type`."""
MOST_NAMED: Final = 5
"""Files that are listed by name."""
EXPECTED: Final = {
    "question": "the words that are asked; a run needs it",
    "answer": "the words that are learned; a run needs it",
    "images": "the pictures; without it every row is text alone",
    "modality": "ct, mr, x-ray …; strata and reports use it",
    "body_part": "an organ or region; strata and reports use it",
    "task_type": "what is asked for; strata and reports use it",
    "patient_id": "so that no split cuts a patient",
    "license": "so that exports carry it; a constant is written \"'CC-BY-4.0'\"",
    "split": "without it every row is for training",
}


@dataclass(frozen=True, slots=True)
class ProposedRecipe:
    """The text of a recipe, and what was seen and not seen in the data."""

    text: str
    source: Proposal


def propose_recipe(path: Path, name: str | None = None) -> ProposedRecipe:
    """Return a recipe for the data at `path`, in comments what each column shows.

    Args:
        path: A file of records, a tar, or a folder of either or of pictures.
        name: Name of the run and of the source; from the path when not given.

    Raises:
        InputError: there is nothing to read, or what is there cannot be read.
    """
    chosen = name or _name_of(path)
    source = propose_source(path, chosen)
    text = "\n".join(_lines(chosen, source)) + "\n"
    # What is written must at least be a recipe; whether its data can be read is for `curate`.
    recipe_yaml.parse(Recipe, text, origin="the proposed recipe")
    return ProposedRecipe(text, source)


def _name_of(path: Path) -> str:
    stem = path.resolve().name.partition(".")[0]
    return re.sub(r"[^\w.-]+", "_", stem).strip("._-") or "mine"


def _lines(name: str, source: Proposal) -> Iterator[str]:
    settings = source.settings
    yield "# Written by `medsift init`, which looked at the first records. Check each line, then:"
    yield "#   medsift curate RECIPE"
    yield f"name: {json.dumps(name)}"
    yield "seed: 0"
    yield "sources:"
    yield f"  - name: {json.dumps(name)}"
    yield f"    reader: {settings['reader']}"
    yield f"    path: {json.dumps(settings['path'], ensure_ascii=False)}"
    if "image_root" in settings:
        yield f"    image_root: {json.dumps(settings['image_root'], ensure_ascii=False)}"
    if source.others:
        files = ", ".join(map(shown, source.others[:MOST_NAMED]))
        more = len(source.others) - MOST_NAMED
        yield f"    # with other columns: {files}" + (f" and {more} more" if more > 0 else "")
    yield from _column_lines(source)
    yield "encoder:"
    yield "  # For trials and machines without a network; BiomedCLIP and others: docs/recipe.md."
    yield "  kind: embedded"
    strata = [one.target for one in source.found if one.target in GROUPABLE]
    strata += [] if "answer_type" in strata else ["answer_type"]
    if set(strata) != set(STRATUM_TAGS):
        yield "# Samples are balanced within these tags; a tag without values is refused."
        yield f"strata: [{', '.join(strata)}]"
    yield "selections:"
    yield "  - {name: random_20, method: {kind: random}, budget: {fraction: 0.2}}"
    yield "  - {name: minimal_20, method: {kind: facility_location}, budget: {fraction: 0.2}}"


def _column_lines(source: Proposal) -> Iterator[str]:
    mapped = source.settings.get("columns", {})
    if mapped or source.missing:
        yield "    columns:" if mapped else "    columns: {}"
    for one in source.found:
        if one.target in mapped:
            yield f"      {one.target}: {json.dumps(mapped[one.target], ensure_ascii=False)}"
            yield f"      # for example {one.example}"
        else:
            column = shown(one.column)
            yield f"      # {one.target}: from the column {column}, for example {one.example}"
    for target in source.missing:
        yield f"      # {target}: no column looks like it ({EXPECTED[target]})"
    if source.unread:
        yield f"      # not read: {', '.join(map(shown, source.unread))}"

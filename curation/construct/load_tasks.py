"""Read the samples of a selection as what a teacher is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curation.construct.asking import Task
from curation.construct.prompts import AskedKind
from curation.construct.settings import ConstructRecipe
from curation.construct.verify import asked_question
from medsift import records
from medsift.images.curated import read_picture
from medsift.manifest import read, resolve_selection
from medsift.manifest.manifest_file import manifest_file
from medsift.replies.reasoning import answer_after_reasoning
from medsift.replies.text_overlap import words
from medsift.text import IMAGE_MARKER

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

_SAMPLES = """
SELECT p.*, g.percentile AS gain
FROM selections s JOIN samples p ON s.place = p.place
LEFT JOIN scores g ON g.run_id = s.run_id AND g.sample_id = s.sample_id
  AND g.scorer = 'multimodal_gain'
WHERE s.run_id = $run AND s.selection = $selection ORDER BY s.rank
"""


@dataclass(frozen=True, slots=True)
class Asking:
    """The samples of a selection as rows of the manifest, and what is asked about them.

    `unasked` says by sample id why a sample is not asked about.
    """

    manifest: Path
    run_id: str
    selection: str
    rows: Mapping[str, Mapping[str, Any]]
    tasks: Sequence[Task]
    unasked: Mapping[str, str]


def load_tasks(recipe: ConstructRecipe) -> Asking:
    """Read the samples of the recipe's selection in rank order. Raises ManifestError."""
    manifest = manifest_file(recipe.run)
    run_id, selection = resolve_selection(manifest, recipe.selection)
    asked = {"run": run_id, "selection": selection}
    rows = {row["sample_id"]: row for row in read(manifest, _SAMPLES, asked).to_pylist()}
    made = {name: _task(row, recipe) for name, row in rows.items()}
    tasks = [task for task in made.values() if isinstance(task, Task)]
    unasked = {name: task for name, task in made.items() if isinstance(task, str)}
    return Asking(manifest, run_id, selection, rows, tasks, unasked)


def _task(row: Mapping[str, Any], recipe: ConstructRecipe) -> Task | str:
    """Return what is asked about a sample, or why nothing is."""
    turns = tuple((turn["role"], turn["content"] or "") for turn in row["messages"])
    if len(turns) < 2 or [role for role, _ in turns[-2:]] != ["user", "assistant"]:
        return "no_question"
    question = IMAGE_MARKER.sub(" ", turns[-2][1]).strip()
    gold = answer_after_reasoning(turns[-1][1]).strip()
    if not gold:
        return "no_question"
    if recipe.purpose == "caption_to_qa" and row["task_type"] not in recipe.caption_tasks:
        return "no_caption"
    if recipe.purpose == "rewrite" and len(words(gold)) > recipe.sparse_words:
        return "not_terse"
    images = row["images"] or ()
    content = content_digest(images, row["messages"])
    return Task(
        row["sample_id"],
        content,
        turns[:-1],
        asked_question(question, gold, row["language"]),
        _kind(gold, row["gain"], recipe),
        len(images),
        _loader(images),
        {name: row[name] for name in ("modality", "language", "extra")},
    )


def content_digest(
    images: Sequence[Mapping[str, str]] | None, messages: Sequence[Mapping[str, str | None]]
) -> str:
    """Return the digest of what a sample shows and says, by which replies about it are kept."""
    said = (part or "" for turn in messages for part in (turn["role"], turn["content"]))
    return records.digest(*(image["image_id"] for image in images or ()), *said)


def _kind(gold: str, gain: float | None, recipe: ConstructRecipe) -> AskedKind:
    """Return how a sample is asked first: answers that say little may need reflection."""
    if recipe.purpose != "reasoning":
        return recipe.purpose
    if "reflective" not in recipe.kinds:
        return "plain"
    sparse = len(words(gold)) <= recipe.sparse_words and (gain is None or gain < 0.5)
    return "reflective" if sparse or "plain" not in recipe.kinds else "plain"


def _loader(images: Sequence[Mapping[str, str]]) -> Callable[[], Sequence[Image]]:
    places = tuple((image["ref"], image["image_id"]) for image in images)
    return partial(_load, places)


def _load(places: Sequence[tuple[str, str]]) -> tuple[Image, ...]:
    """Return pictures in RGB. Raises StorageError for one that is gone or has changed."""
    return tuple(read_picture(ref, image_id) for ref, image_id in places)

"""Check for `medsift doctor` that a recipe's encoder can read the texts of its sources."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from medsift.errors import MedSiftError
from ray_jobs.console import one_line
from ray_jobs.doctor import Finding

if TYPE_CHECKING:
    from curation.recipe import Recipe

ROWS: Final = 2_000
"""Rows of each source that are checked."""
SUBJECT: Final = "recipe's texts"
REMEDY: Final = "name an encoder trained on these languages, or compare by characters"


def check_texts(recipe: str) -> Finding:
    """Return which first texts of a recipe (a file or a shipped name) its encoder cannot read."""
    from curation.recipe import load_recipe
    from curation.unread import Census
    from ray_jobs.absolute_paths import with_absolute_paths
    from ray_jobs.cli_args import recipe_path

    try:
        loaded = with_absolute_paths(load_recipe(recipe_path(recipe)), Path.cwd())
        texts = _first_texts(loaded)
        census = Census.of(texts, loaded.encoder.reader().reads(texts))
    except MedSiftError as error:
        return Finding("FAIL", SUBJECT, one_line(error), "correct the recipe or its sources")
    label = loaded.encoder.label
    warning = census.sentence(label, first=True)
    if warning is not None:
        return Finding("WARN", SUBJECT, warning, REMEDY)
    return Finding("OK", SUBJECT, f"encoder {label} reads the first {census.texts:,} distinct ones")


def _first_texts(recipe: Recipe) -> list[str]:
    """Return the distinct canonical texts of about the first `ROWS` rows of each source.

    Pictures that come as bytes pass through a folder that is removed again. Raises InputError for a
    source that cannot be read, and StorageError without room for the folder.
    """
    from curation.ingest import ingest
    from medsift import records
    from medsift.images.blob_store import BlobStore

    texts: dict[str, None] = {}
    with TemporaryDirectory(prefix="medsift-preview-") as folder:
        blobs = BlobStore(Path(folder))
        for source in recipe.sources:
            left = ROWS
            for table in (rows for shard in source.shards() for rows in source.read(shard, blobs)):
                samples = ingest(table.slice(0, left), recipe.ingest).samples
                for messages in samples["messages"].to_pylist():
                    contents = (records.canonical_text(turn["content"]) for turn in messages)
                    texts.update(dict.fromkeys(contents))
                left -= table.num_rows
                if left <= 0:
                    break
    return list(texts)

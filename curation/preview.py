"""The first texts of a recipe's sources, for a look at them before a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from curation.ingest import ingest
from curation.recipe import Recipe
from curation.sources.reader import Reader
from medsift import records
from medsift.images.blob_store import BlobStore


def first_texts(recipe: Recipe, rows: int) -> list[str]:
    """Return the distinct canonical texts of about the first `rows` rows of each source.

    Pictures that come as bytes pass through a folder that is removed again.

    Raises:
        InputError: a source that cannot be read.
        StorageError: no room for the folder.
    """
    found: dict[str, None] = {}
    with TemporaryDirectory(prefix="medsift-preview-") as folder:
        for source in recipe.sources:
            found.update(dict.fromkeys(_texts(source, recipe, rows, BlobStore(Path(folder)))))
    return list(found)


def _texts(source: Reader, recipe: Recipe, rows: int, blobs: BlobStore) -> Iterator[str]:
    left = rows
    for table in (table for shard in source.shards() for table in source.read(shard, blobs)):
        samples = ingest(table.slice(0, left), recipe.ingest).samples
        for messages in samples["messages"].to_pylist():
            yield from (records.canonical_text(turn["content"]) for turn in messages)
        left -= table.num_rows
        if left <= 0:
            return

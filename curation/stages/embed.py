"""Compute a vector for every distinct text, or take it from the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.encoders.encoder import Encoder, EncoderConfig
from curation.encoders.readability import READING_VERSION
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.distinct_texts import list_texts
from curation.stages.images import ENCODER_RESOURCES
from curation.stages.stage import Stage, StageContext
from curation.stages.work_files import WorkFile, WorkFolder
from curation.unread import Census, encoded_census
from medsift import records
from medsift.device_clock import DeviceClock
from medsift.execution import Tables
from medsift.models.load_once import load_once
from medsift.storage.table_cache import TableCache

COUNTED_BEFORE: Final = 20_000
"""Texts that are checked before encoding; sorted by content id, they are a random sample."""


def text_fingerprint(config: EncoderConfig) -> str:
    """Return the identity of an encoder's text vectors. Raises ModelError."""
    return records.fingerprint([config.fingerprint(), READING_VERSION])


class EncodeTexts:
    """Compute vectors of texts on a worker; the encoder is loaded for the first uncached one.

    What is computed goes to the cache batch by batch, so that an interrupted worker repeats one.
    """

    def __init__(self, config: EncoderConfig, cache: Path, work: WorkFolder, batch: int) -> None:
        self.config, self.work, self.batch = config, work, batch
        self.cache = TableCache(cache / "texts", text_fingerprint(config), key="content_id")
        self.clock = DeviceClock()

    @property
    def spent(self) -> Mapping[str, float]:
        """How long the model worked on the last item, and how long it waited."""
        return self.clock.spent

    @cached_property
    def encoder(self) -> Encoder:
        """The loaded models. Raises ModelError."""
        return load_once(self.config)

    def __call__(self, item: WorkFile) -> Iterator[Tables]:
        """Yield `vectors` of a file of ``TEXTS``, in their order."""
        with self.clock.item():
            yield {"vectors": self._vectors(self.work.read(item))}

    def _vectors(self, texts: pa.Table) -> pa.Table:
        known = self.cache.lookup(texts["content_id"].to_pylist())
        new = texts.filter(pc.invert(pc.is_in(texts["content_id"], known["content_id"])))
        tables = [known] if known.num_rows else []
        for start in range(0, new.num_rows, self.batch):
            encoded = self._encode(new.slice(start, self.batch))
            self.cache.append(encoded)
            tables.append(encoded)
        return pa.concat_tables(tables).sort_by("content_id")

    def _encode(self, texts: pa.Table) -> pa.Table:
        with self.clock.loading():
            encoder = self.encoder
        with self.clock.working():
            vectors = encoder.encode_texts(texts["text"].to_pylist())
        dimension = vectors.shape[1]
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, dimension)
        ids = texts["content_id"].combine_chunks()
        return pa.table([ids, column], schema=records.vectors_schema(dimension))


class EmbedStage(Stage):
    """Encode every distinct turn and question, and count those that the encoder cannot read."""

    name: ClassVar[str] = "embed"
    version: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "vectors": records.VECTORS,
        "measures": records.MEASURES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the identity of the text vectors."""
        return {"encoder": text_fingerprint(recipe.encoder)}

    def run(self, context: StageContext) -> None:
        """Write `vectors`, all zero for texts that cannot be read, and `measures` of how many."""
        encoder, cache = context.recipe.encoder, context.recipe.cache_dir.absolute()
        work, batch = (
            WorkFolder(context.folder / "work" / "texts"),
            context.recipe.compute.rows_per_batch,
        )
        with context.timed("list texts") as watch:
            items = list_texts(context, work)
            watch.rows = count = sum(item.rows for item in items)
        self._warn(context, work, items, count)
        context.begin(count, "texts")
        with context.timed("encode texts", count):
            context.executor.stream(
                items,
                lambda: EncodeTexts(encoder, cache, work, batch),
                context.folder,
                context.advance,
                ENCODER_RESOURCES,
            )
        context.add_device_time(context.folder, count)
        census = encoded_census(work.read_all(items), context.outputs.vectors.parts())
        context.outputs.measures.write(census.measures())
        work.remove(items)
        EncodeTexts(encoder, cache, work, batch).cache.merge()

    def _warn(
        self, context: StageContext, work: WorkFolder, items: Sequence[WorkFile], count: int
    ) -> None:
        """Report before the work how many of the first texts the encoder cannot read."""
        encoder, first = context.recipe.encoder, list[str]()
        for table in work.read_all(items):
            first += table["text"].slice(0, COUNTED_BEFORE - len(first)).to_pylist()
            if len(first) == COUNTED_BEFORE:
                break
        census = Census.of(first, encoder.reader().reads(first))
        warning = census.sentence(encoder.label, first=len(first) < count)
        if warning is not None:
            context.warn(warning)

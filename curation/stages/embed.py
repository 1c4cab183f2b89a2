"""Compute a vector for every distinct text, or take it from the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa

from curation.current_samples import sample_parts
from curation.encoders.encoder import Encoder, EncoderConfig
from curation.encoders.readability import READING_VERSION
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.images import ENCODER_RESOURCES
from curation.stages.stage import Stage, StageContext
from curation.unread import Census, encoded_census
from medsift import records
from medsift.execution import Tables
from medsift.models.load_once import load_once
from medsift.storage.table_cache import TableCache

COUNTED_BEFORE: Final = 20_000
"""Texts that are checked before encoding; sorted by content id, they are a random sample."""


def text_fingerprint(config: EncoderConfig) -> str:
    """Return the identity of an encoder's text vectors. Raises ModelError."""
    return records.fingerprint([config.fingerprint(), READING_VERSION])


class EncodeTexts:
    """Compute vectors of texts on a worker; the encoder is loaded for the first uncached one."""

    def __init__(self, config: EncoderConfig, cache: Path) -> None:
        self.config = config
        self.cache = TableCache(cache / "texts", text_fingerprint(config), key="content_id")

    @cached_property
    def encoder(self) -> Encoder:
        """The loaded models. Raises ModelError."""
        return load_once(self.config)

    def __call__(self, texts: list[tuple[str, str]]) -> Iterator[Tables]:
        """Yield `vectors` for (content id, text) pairs, in their order."""
        known = self.cache.lookup([content for content, _ in texts])
        have = set(known["content_id"].to_pylist())
        new = [(content, text) for content, text in texts if content not in have]
        tables = [known] if known.num_rows else []
        if new:
            vectors = self.encoder.encode_texts([text for _, text in new])
            dimension = vectors.shape[1]
            flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
            column = pa.FixedSizeListArray.from_arrays(flat, dimension)
            ids = pa.array([content for content, _ in new], pa.string())
            encoded = pa.table([ids, column], schema=records.vectors_schema(dimension))
            self.cache.append(encoded)
            tables.append(encoded)
        yield {"vectors": pa.concat_tables(tables).sort_by("content_id")}


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
        known = distinct_texts(context.upstream)
        texts = sorted(known.items())
        encoder, cache = context.recipe.encoder, context.recipe.cache_dir.absolute()
        first = [text for _, text in texts[:COUNTED_BEFORE]]
        census = Census.of(first, encoder.reader().reads(first))
        warning = census.sentence(encoder.label, first=len(first) < len(texts))
        if warning is not None:
            context.warn(warning)
        size = context.recipe.compute.rows_per_batch
        items = [texts[start : start + size] for start in range(0, len(texts), size)]
        context.begin(len(texts), "texts")
        with context.timed("encode texts", len(texts)):
            context.executor.stream(
                items,
                lambda: EncodeTexts(encoder, cache),
                context.folder,
                context.advance,
                ENCODER_RESOURCES,
            )
        census = encoded_census(known, context.outputs.vectors.folder)
        context.outputs.measures.write(census.measures())


def distinct_texts(upstream: Upstream) -> dict[str, str]:
    """Return content id → canonical text of every turn, question and answer of every sample.

    A question is its turn without the marks of its pictures, so that it is another text where a
    mark is behind or inside it.
    """
    columns = ["messages", "question", "answer"]
    distinct: set[str] = set()
    for table in sample_parts(upstream, columns):
        for messages in table["messages"].to_pylist():
            distinct.update(turn["content"] for turn in messages)
        for name in columns[1:]:
            distinct.update(text for text in table[name].to_pylist() if text)
    texts = map(records.canonical_text, distinct)
    return {records.text_id(text): text for text in texts}
